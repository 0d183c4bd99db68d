// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin for QEMU from version 9.1 on that counts the instructions which the guest executes
 * between two marks, by where they are. The marks are instructions that do nothing, see mark() in
 * emtrtt. Writes lines of an address and a count, hexadecimal and decimal, to the file out=FILE.
 *
 * The emulator translates blocks of instructions that are executed one after the other. A block is
 * counted where it begins; it ends at the latest with the first jump, thus in the same function.
 *
 * What QEMU offers to plugins is declared here, as far as it is used: its header is not packaged.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info;

enum { CB_NO_REGS };

typedef void (*tb_trans_cb)(uint64_t id, struct qemu_plugin_tb *tb);
typedef void (*exec_cb)(unsigned int vcpu, void *data);
typedef void (*exit_cb)(uint64_t id, void *data);

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, tb_trans_cb cb);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, exec_cb cb, int flags,
					  void *data);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, exec_cb cb, int flags,
					    void *data);
void qemu_plugin_register_atexit_cb(uint64_t id, exit_cb cb, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *to, size_t len);

/* The first version in which qemu_plugin_insn_data() is as above. */
int qemu_plugin_version = 3;

/**
 * struct block - instructions that are executed one after the other
 * @next: in the same slot of the table
 * @at: address of the first
 * @length: how many they are
 * @executed: instructions of it between the marks
 */
struct block {
	struct block *next;
	uint64_t at, length, executed;
};

#define SLOTS	(1 << 16)

static struct block *blocks[SLOTS];
static bool counting;
static const char *out;

/* What is translated anew, after the emulator's cache was full, is counted on. */
static struct block *block_at(uint64_t at, uint64_t length)
{
	struct block **slot = &blocks[(at ^ at >> 16) % SLOTS], *block;

	for (block = *slot; block; block = block->next)
		if (block->at == at && block->length == length)
			return block;
	block = calloc(1, sizeof(*block));
	if (!block)
		abort();
	*block = (struct block){ .next = *slot, .at = at, .length = length };
	*slot = block;
	return block;
}

static void on_block(unsigned int vcpu, void *data)
{
	struct block *block = data;

	if (counting)
		block->executed += block->length;
}

static void on_begin(unsigned int vcpu, void *data)
{
	counting = true;
}

static void on_end(unsigned int vcpu, void *data)
{
	counting = false;
}

static void on_translation(uint64_t id, struct qemu_plugin_tb *tb)
{
	static const unsigned char mark[7] = { 0x0f, 0x1f, 0x84, 0x00, 'E', 'M', 'T' };
	size_t length = qemu_plugin_tb_n_insns(tb);
	unsigned char code[8];

	qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, CB_NO_REGS,
					     block_at(qemu_plugin_tb_vaddr(tb), length));
	for (size_t i = 0; i < length; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);

		if (qemu_plugin_insn_data(insn, code, sizeof(code)) != sizeof(code) ||
		    memcmp(code, mark, sizeof(mark)))
			continue;
		qemu_plugin_register_vcpu_insn_exec_cb(insn, code[7] ? on_begin : on_end,
						       CB_NO_REGS, NULL);
	}
}

static void at_exit(uint64_t id, void *data)
{
	FILE *file = fopen(out, "w");

	for (size_t i = 0; file && i < SLOTS; i++)
		for (struct block *block = blocks[i]; block; block = block->next)
			if (block->executed)
				fprintf(file, "%" PRIx64 " %" PRIu64 "\n", block->at,
					block->executed);
	if (!file || fclose(file))
		perror(out);
}

int qemu_plugin_install(uint64_t id, const struct qemu_info *info, int argc, char **argv)
{
	if (argc != 1 || strncmp(argv[0], "out=", 4)) {
		fprintf(stderr, "profile: one argument, out=FILE\n");
		return 1;
	}
	out = argv[0] + 4;
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
	qemu_plugin_register_atexit_cb(id, at_exit, NULL);
	return 0;
}
