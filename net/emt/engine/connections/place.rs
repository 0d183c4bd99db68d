// SPDX-License-Identifier: GPL-2.0

//! Places in an endless run of bytes, and how they travel in 32 bits.

/// How many bytes have come before, since the connection began.
pub(super) type Place = u64;

/// Returns the place whose low 32 bits are `low` and that is next to `known`; 0 for what would be
/// before the beginning.
pub(super) const fn expand(known: Place, low: u32) -> Place {
    let distance = low.wrapping_sub(known as u32) as i32;
    // Nothing is sent that far, so what is there is before the first place.
    let place = known.wrapping_add_signed(distance as i64);
    match place > Place::MAX / 2 {
        true => 0,
        false => place,
    }
}

#[kernel::macros::kunit_tests(emt_place)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_place_is_meant() {
        assert_eq!(expand(10, 12), 12);
        assert_eq!(expand(10, 8), 8);
        assert_eq!(expand(0xffff_fff0, 5), 0x1_0000_0005);
        assert_eq!(expand(0x1_0000_0005, 0xffff_fff0), 0xffff_fff0);
        assert_eq!(expand(5, 0xffff_fff0), 0);
    }
}
