// SPDX-License-Identifier: GPL-2.0

//! What the pure files use of include/uapi/linux/emt.h.

#![allow(missing_docs, non_camel_case_types)]

pub const AF_EMT: u32 = 46;
pub const EMT_ADDR_MAX: u32 = 8;

#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct sockaddr_emt {
    pub semt_family: u16,
    pub semt_port: u16,
    pub semt_ifindex: i32,
    pub semt_halen: u8,
    pub semt_reserved: [u8; 3],
    pub semt_addr: [u8; EMT_ADDR_MAX as usize],
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = include_str!("../../../include/uapi/linux/emt.h");

    /// Returns what the header defines `name` as.
    fn defined(name: &str) -> Option<u32> {
        HEADER.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let found = words.next() == Some("#define") && words.next() == Some(name);
            found.then(|| words.next())??.parse().ok()
        })
    }

    #[test]
    fn constants_are_those_of_the_header() {
        assert_eq!(defined("AF_EMT"), Some(AF_EMT));
        assert_eq!(defined("EMT_ADDR_MAX"), Some(EMT_ADDR_MAX));
    }

    #[test]
    fn the_address_is_that_of_the_header() {
        let body = HEADER
            .split_once("struct sockaddr_emt {")
            .and_then(|(_, rest)| rest.split_once('}'))
            .map(|(body, _)| body.split_whitespace().collect::<Vec<_>>().join(" "));
        assert_eq!(
            body.as_deref(),
            Some(
                "__kernel_sa_family_t semt_family; __be16 semt_port; __s32 semt_ifindex; \
                 __u8 semt_halen; __u8 semt_reserved[3]; __u8 semt_addr[EMT_ADDR_MAX];"
            )
        );
        assert_eq!(size_of::<sockaddr_emt>(), 20);
    }
}
