#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A program for TCP that uses sockets in all the ways that are hard for the shim; prints TAP.

  sockets.py ADDRESS DOMAIN [OTHER]

Server and client at once, at ADDRESS, which is this host's. It knows nothing of EMT or the shim but DOMAIN, the number
of the family that its connections there are to have: 46 under the shim on a kernel that has AF_EMT, and 2 without the
shim. With OTHER, an address that the map does not have, what goes there is to be TCP.
"""

import array
import asyncio
import ctypes
import errno
import fcntl
import os
import select
import selectors
import socket
import subprocess
import sys
import threading

ADDRESS, DOMAIN = sys.argv[1], int(sys.argv[2])
OTHER = sys.argv[3] if len(sys.argv) > 3 else None
TIMEOUT = 20
SYS_GETSOCKOPT = {"x86_64": 55, "aarch64": 209, "riscv64": 209}.get(os.uname().machine)


class Skip(Exception):
    pass


def family_of(sock):
    """What the kernel says, past the C library's getsockopt()."""
    if SYS_GETSOCKOPT is None:
        raise Skip("the number of getsockopt is not known for " + os.uname().machine)
    value, size = ctypes.c_int(), ctypes.c_int(4)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(SYS_GETSOCKOPT, sock.fileno(), socket.SOL_SOCKET, socket.SO_DOMAIN, ctypes.byref(value),
                    ctypes.byref(size)):
        raise OSError(ctypes.get_errno(), "getsockopt")
    return value.value


def is_mapped(sock):
    wanted = sock.family if DOMAIN == socket.AF_INET else DOMAIN
    same(family_of(sock), wanted)
    return sock


def same(found, wanted):
    if found != wanted:
        raise AssertionError(f"{found!r} instead of {wanted!r}")


def tcp(timeout=TIMEOUT):
    sock = socket.socket()
    sock.settimeout(timeout)
    return sock


def listener(address=None, port=0):
    sock = tcp()
    sock.bind((address or ADDRESS, port))
    sock.listen(16)
    return sock


def pair():
    """Both ends of a connection."""
    with listener() as server:
        client = tcp()
        client.connect(server.getsockname())
        end, _ = server.accept()
        end.settimeout(TIMEOUT)
        return client, end


def exchange(one, other):
    for a, b in ((one, other), (other, one)):
        a.sendall(b"x" * 5000)
        same(len(b.recv(5000, socket.MSG_WAITALL)), 5000)


def closing(*socks):
    for sock in socks:
        sock.close()


# Each test is a function whose name is a sentence.

def test_a_connection_has_names_of_ip_at_both_ends():
    server = is_mapped(listener())
    name = server.getsockname()
    same(name[0], ADDRESS)
    client = tcp()
    client.connect(name)
    is_mapped(client)
    end, peer = server.accept()
    is_mapped(end)
    same(client.getpeername(), name)
    same(client.getsockname()[0], ADDRESS)
    same(peer, client.getsockname())
    same(end.getpeername(), client.getsockname())
    same(end.getsockname(), name)
    same(end.family, socket.AF_INET)
    exchange(client, end)
    client.shutdown(socket.SHUT_WR)
    same(end.recv(10), b"")
    end.sendall(b"last")
    end.close()
    same(client.recv(10), b"last")
    same(client.recv(10), b"")
    closing(client, server)


def test_a_closed_port_refuses():
    with listener() as server:
        name = server.getsockname()
    with tcp() as client:
        same(client.connect_ex(name), errno.ECONNREFUSED)


def test_a_taken_port_is_in_use():
    with listener() as server, tcp() as second:
        try:
            second.bind(server.getsockname())
        except OSError as error:
            same(error.errno, errno.EADDRINUSE)
        else:
            raise AssertionError("the port was given twice")


def test_a_connection_can_be_made_without_waiting():
    with listener() as server, tcp(0) as client:
        result = client.connect_ex(server.getsockname())
        if result not in (0, errno.EINPROGRESS):
            raise OSError(result, os.strerror(result))
        same(select.select([], [client], [], TIMEOUT)[1], [client])
        same(client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 0)
        # Linux has TCP say once that it has succeeded.
        if client.connect_ex(server.getsockname()) not in (0, errno.EISCONN):
            raise AssertionError("connecting again does not say that it is connected")
        same(client.connect_ex(server.getsockname()), errno.EISCONN)
        end, _ = server.accept()
        client.setblocking(True)
        exchange(is_mapped(client), end)
        end.close()


def test_a_refusal_comes_later_without_waiting():
    with listener() as server:
        name = server.getsockname()
    with tcp(0) as client:
        result = client.connect_ex(name)
        if result == errno.EINPROGRESS:
            poll = select.poll()
            poll.register(client, select.POLLOUT)
            poll.poll(TIMEOUT * 1000)
            result = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        same(result, errno.ECONNREFUSED)


def test_an_epoll_instance_keeps_a_client_it_was_given_before():
    with listener() as server, tcp() as client, select.epoll() as epoll, select.epoll() as second:
        epoll.register(client, select.EPOLLIN)
        second.register(client, select.EPOLLIN | select.EPOLLET)
        client.connect(server.getsockname())
        end, _ = server.accept()
        same(epoll.poll(0), [])
        end.sendall(b"now")
        same(epoll.poll(TIMEOUT), [(client.fileno(), select.EPOLLIN)])
        same(second.poll(TIMEOUT), [(client.fileno(), select.EPOLLIN)])
        same(second.poll(0), [])
        same(client.recv(10), b"now")
        same(epoll.poll(0), [])
        epoll.modify(client, select.EPOLLOUT)
        same(epoll.poll(TIMEOUT), [(client.fileno(), select.EPOLLOUT)])
        epoll.unregister(client)
        same(epoll.poll(0), [])
        end.close()


def test_an_epoll_instance_keeps_a_listener_it_was_given_before():
    with tcp() as server, tcp() as client, select.epoll() as epoll:
        epoll.register(server, select.EPOLLIN)
        server.bind((ADDRESS, 0))
        server.listen()
        epoll.poll(0)
        client.connect(server.getsockname())
        same(epoll.poll(TIMEOUT), [(server.fileno(), select.EPOLLIN)])
        server.accept()[0].close()


def test_all_descriptors_of_a_socket_go_along():
    with listener() as server, tcp() as client:
        second = client.dup()
        third = socket.socket(fileno=fcntl.fcntl(client, fcntl.F_DUPFD, 100))
        flags = fcntl.fcntl(second, fcntl.F_GETFD), fcntl.fcntl(third, fcntl.F_GETFD)
        same(flags, (fcntl.FD_CLOEXEC, 0))
        client.connect(server.getsockname())
        end, _ = server.accept()
        same(second.getpeername(), server.getsockname())
        second.sendall(b"by the second")
        same(end.recv(100), b"by the second")
        third.shutdown(socket.SHUT_WR)
        same(end.recv(100), b"")
        same((fcntl.fcntl(second, fcntl.F_GETFD), fcntl.fcntl(third, fcntl.F_GETFD)), flags)
        closing(is_mapped(second), is_mapped(third), end)


def test_what_was_set_before_stays_set():
    with listener() as server, tcp(None) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 3)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, array.array("q", [0, 300000]).tobytes())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, array.array("i", [1, 2]).tobytes())
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.set_inheritable(True)
        client.connect(server.getsockname())
        is_mapped(client)
        same(client.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), 1)
        same(client.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT), 3)
        same(client.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8), array.array("i", [1, 2]).tobytes())
        same(client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), 1)
        same(client.get_inheritable(), True)
        try:
            client.recv(1)
        except BlockingIOError:
            pass
        else:
            raise AssertionError("the time limit did not go along")


def test_options_of_tcp_and_ip_can_be_set_and_read():
    client, end = pair()
    for level, name, value in (
            (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10), (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
            (socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1), (socket.IPPROTO_TCP, socket.TCP_CORK, 0),
            (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 5000), (socket.IPPROTO_IP, socket.IP_TOS, 16),
            (socket.IPPROTO_IP, socket.IP_TTL, 64), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            (socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)):
        client.setsockopt(level, name, value)
        client.getsockopt(level, name)
    same(client.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN), socket.AF_INET)
    same(client.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE), socket.SOCK_STREAM)
    same(client.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL), socket.IPPROTO_TCP)
    info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    same((len(info), info[0]), (104, 1))
    if client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) < 500:
        raise AssertionError("segments are too small to be true")
    if not client.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).strip(b"\0"):
        raise AssertionError("the algorithm has no name")
    try:
        client.setsockopt(socket.IPPROTO_TCP, 9999, 1)
    except OSError as error:
        same(error.errno, errno.ENOPROTOOPT)
    else:
        raise AssertionError("an option that does not exist was set")
    exchange(client, end)
    closing(client, end)


def test_a_forked_process_has_the_connection():
    client, end = pair()
    child = os.fork()
    if not child:
        try:
            same(client.getpeername()[0], ADDRESS)
            client.sendall(b"from the child")
            os._exit(0)
        except BaseException:
            os._exit(1)
    same(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
    same(end.recv(100), b"from the child")
    exchange(client, end)
    closing(client, end)


def test_another_program_has_the_connection():
    client, end = pair()
    words = ("import socket, sys; s = socket.socket(fileno=int(sys.argv[1])); assert s.family == socket.AF_INET, s;"
             "assert s.type == socket.SOCK_STREAM; assert s.getpeername()[0] == sys.argv[2], s; s.sendall(b'hello')")
    subprocess.run([sys.executable, "-c", words, str(client.fileno()), ADDRESS], pass_fds=[client.fileno()], check=True,
                   timeout=TIMEOUT)
    same(end.recv(100), b"hello")
    closing(client, end)


def test_a_connection_can_be_passed_through_a_socket():
    client, end = pair()
    one, other = socket.socketpair()
    socket.send_fds(one, [b"."], [client.fileno()])
    client.close()
    _, fds, _, _ = socket.recv_fds(other, 1, 1)
    passed = socket.socket(fileno=fds[0])
    same((passed.family, passed.getpeername()), (socket.AF_INET, end.getsockname()))
    passed.settimeout(TIMEOUT)
    exchange(is_mapped(passed), end)
    closing(passed, end, one, other)


def test_names_that_go_with_data_do_no_harm():
    client, end = pair()
    client.sendto(b"one", end.getsockname())
    data, _ = end.recvfrom(10)
    same(data, b"one")
    client.sendmsg([b"t", b"wo"], [], 0, end.getsockname())
    data, _, _, name = end.recvmsg(10)
    same(data, b"two")
    if name:
        same(name, client.getsockname())
    closing(client, end)


def test_a_connection_can_be_made_by_sending():
    with listener() as server, tcp(None) as client:
        client.sendto(b"first", socket.MSG_FASTOPEN, server.getsockname())
        end, _ = server.accept()
        end.settimeout(TIMEOUT)
        same(end.recv(10), b"first")
        exchange(is_mapped(client), end)
        end.close()


def test_a_client_may_choose_its_port():
    with tcp() as probe:
        probe.bind((ADDRESS, 0))
        port = probe.getsockname()[1]
    with listener() as server, tcp() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.bind(("0.0.0.0", port))
        client.connect(server.getsockname())
        end, peer = server.accept()
        same(peer, (ADDRESS, port))
        exchange(is_mapped(client), end)
        end.close()


def test_a_listener_for_all_addresses_is_reached():
    server = listener("0.0.0.0")
    same(server.getsockname()[0], "0.0.0.0")
    client = tcp()
    client.connect((ADDRESS, server.getsockname()[1]))
    end, _ = server.accept()
    same(end.getsockname(), (ADDRESS, server.getsockname()[1]))
    exchange(is_mapped(client), is_mapped(end))
    closing(server, client, end)


def test_a_listener_is_reached_that_was_never_bound():
    with tcp() as server, tcp() as client:
        server.listen()
        client.connect((ADDRESS, server.getsockname()[1]))
        end, _ = server.accept()
        exchange(client, end)
        end.close()


def ipv6():
    try:
        return socket.socket(socket.AF_INET6)
    except OSError as error:
        raise Skip(f"this kernel has no IPv6: {error}") from error


def test_a_socket_of_ipv6_has_names_of_ipv6():
    with ipv6() as server, ipv6() as client:
        mapped = "::ffff:" + ADDRESS
        server.bind(("::", 0))
        server.listen()
        client.settimeout(TIMEOUT)
        client.connect((mapped, server.getsockname()[1]))
        end, peer = server.accept()
        end.settimeout(TIMEOUT)
        same(server.getsockname()[0], "::")
        same((end.family, peer[0]), (socket.AF_INET6, mapped))
        same((client.getpeername()[0], client.getsockname()[0]), (mapped, mapped))
        same((end.getpeername(), end.getsockname()), (client.getsockname(), client.getpeername()))
        same(end.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN), socket.AF_INET6)
        exchange(is_mapped(client), is_mapped(end))
        end.close()


def test_a_client_of_ipv4_reaches_a_server_of_ipv6():
    with ipv6() as server, tcp() as client:
        server.bind(("::", 0))
        server.listen()
        client.connect((ADDRESS, server.getsockname()[1]))
        end, peer = server.accept()
        end.settimeout(TIMEOUT)
        same(client.getpeername()[0], ADDRESS)
        same(peer[0], "::ffff:" + ADDRESS)
        exchange(client, end)
        end.close()


def test_datagrams_stay_what_they_are():
    with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.settimeout(TIMEOUT)
        one.sendto(b"datagram", other.getsockname())
        data, name = other.recvfrom(100)
        same((data, name[0], family_of(one)), (b"datagram", "127.0.0.1", socket.AF_INET))


def test_unix_sockets_stay_what_they_are():
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        name = f"\0emt-shim-test-{os.getpid()}"
        server.bind(name)
        server.listen()
        client.connect(name)
        end, peer = server.accept()
        same((server.getsockname(), client.getpeername()), (name.encode(), name.encode()))
        same((peer, end.getsockname()), ("", name.encode()))
        exchange(client, end)
        end.close()


def test_a_programs_own_sockets_of_emt_stay_what_they_are():
    try:
        one, other = socket.socket(46, socket.SOCK_DGRAM), socket.socket(46, socket.SOCK_RDM)
    except OSError as error:
        raise Skip(f"this kernel has no AF_EMT: {error}") from error
    # Python itself cannot take a name of a family that it does not know.
    name, size = ctypes.create_string_buffer(128), ctypes.c_int(128)
    same(ctypes.CDLL(None).getsockname(one.fileno(), name, ctypes.byref(size)), 0)
    same((size.value, name.raw[:20]), (20, b"\x2e" + bytes(19)))
    same([sock.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN) for sock in (one, other)], [46, 46])
    closing(one, other)


def test_what_the_map_does_not_have_is_tcp():
    if not OTHER:
        raise Skip("no address was given that the map does not have")
    with listener(OTHER) as server, tcp() as client:
        client.connect(server.getsockname())
        end, peer = server.accept()
        same((family_of(server), family_of(client), family_of(end)), (socket.AF_INET,) * 3)
        same((peer, client.getpeername()), (client.getsockname(), server.getsockname()))
        exchange(client, end)
        end.close()


def test_a_socket_that_is_bound_to_all_addresses_can_still_go_to_ip():
    if not OTHER:
        raise Skip("no address was given that the map does not have")
    with listener(OTHER) as server, tcp() as client, select.epoll() as epoll:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        client.bind(("0.0.0.0", 0))
        epoll.register(client, select.EPOLLIN)
        port = client.getsockname()[1]
        client.connect(server.getsockname())
        end, peer = server.accept()
        same((peer[1], family_of(client)), (port, socket.AF_INET))
        same(client.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), 1)
        end.sendall(b"!")
        same(epoll.poll(TIMEOUT), [(client.fileno(), select.EPOLLIN)])
        same(client.recv(10), b"!")
        exchange(client, end)
        end.close()


def test_a_selector_serves_many_clients():
    with listener() as server, selectors.DefaultSelector() as selector:
        server.setblocking(False)
        selector.register(server, selectors.EVENT_READ)
        clients = [tcp() for _ in range(20)]
        done = threading.Event()

        def serve():
            while not done.is_set():
                for key, _ in selector.select(0.1):
                    if key.fileobj is server:
                        end, _ = server.accept()
                        end.setblocking(False)
                        selector.register(end, selectors.EVENT_READ)
                    else:
                        data = key.fileobj.recv(65536)
                        if data:
                            key.fileobj.send(data.upper())
                        else:
                            selector.unregister(key.fileobj)
                            key.fileobj.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            for client in clients:
                client.connect(server.getsockname())
            for n, client in enumerate(clients):
                client.sendall(b"number %d" % n)
            for n, client in enumerate(clients):
                same(client.recv(100), b"NUMBER %d" % n)
        finally:
            closing(*clients)
            done.set()
            thread.join()


def test_asyncio_works():
    async def serve(reader, writer):
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
        writer.close()

    async def ask(port, n):
        reader, writer = await asyncio.open_connection(ADDRESS, port)
        is_mapped(writer.get_extra_info("socket"))
        same(writer.get_extra_info("peername"), (ADDRESS, port))
        for m in range(20):
            writer.write(b"line %d of %d\n" % (m, n))
            same(await reader.readline(), b"LINE %d OF %d\n" % (m, n))
        writer.close()
        await writer.wait_closed()

    async def all_of_it():
        server = await asyncio.start_server(serve, ADDRESS, 0)
        port = server.sockets[0].getsockname()[1]
        await asyncio.wait_for(asyncio.gather(*(ask(port, n) for n in range(20))), TIMEOUT)
        server.close()

    asyncio.run(all_of_it())


def test_many_threads_connect_at_once():
    with listener() as server:
        wrong = []

        def serve():
            for _ in range(80):
                end, peer = server.accept()
                end.sendall(repr(peer).encode())
                end.close()

        def ask():
            for _ in range(10):
                try:
                    with tcp() as client:
                        client.connect(server.getsockname())
                        same(client.recv(100, socket.MSG_WAITALL), repr(client.getsockname()).encode())
                except Exception as error:      # noqa: BLE001, told below
                    wrong.append(repr(error))

        threads = [threading.Thread(target=ask) for _ in range(8)] + [threading.Thread(target=serve, daemon=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
        same(wrong, [])


def main():
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_")]
    print(f"1..{len(tests)}")
    failed = 0
    for n, (name, test) in enumerate(tests, 1):
        said = name[5:].replace("_", " ")
        try:
            test()
            print(f"ok {n} {said}")
        except Skip as why:
            print(f"ok {n} {said} # SKIP {why}")
        except Exception as error:      # noqa: BLE001, what it is stands in the line
            failed += 1
            line = error.__traceback__.tb_next.tb_lineno
            print(f"not ok {n} {said}\n# line {line}: {type(error).__name__}: {error}")
        sys.stdout.flush()
    return 1 if failed else 0


sys.exit(main())
