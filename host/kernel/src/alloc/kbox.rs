// SPDX-License-Identifier: GPL-2.0

//! A value in memory of its own.

use super::{
    inject,
    AllocError,
    Flags, //
};
use core::{
    fmt,
    mem::MaybeUninit,
    ops::{
        Deref,
        DerefMut, //
    },
};

/// A value in memory of its own.
#[derive(PartialEq, Eq)]
pub struct KBox<T: ?Sized>(Box<T>);

impl<T> KBox<T> {
    /// Moves `value` into new memory.
    pub fn new(value: T, flags: Flags) -> Result<Self, AllocError> {
        inject::check(flags)?;
        Ok(Self(Box::new(value)))
    }

    /// Returns new memory without a value.
    pub fn new_uninit(flags: Flags) -> Result<KBox<MaybeUninit<T>>, AllocError> {
        KBox::new(MaybeUninit::uninit(), flags)
    }

    /// Takes the value out.
    pub fn into_inner(this: Self) -> T {
        *this.0
    }
}

impl<T> KBox<MaybeUninit<T>> {
    /// Moves `value` there. In the kernel, into that same memory.
    pub fn write(_this: Self, value: T) -> KBox<T> {
        KBox(Box::new(value))
    }
}

impl<T: ?Sized> Deref for KBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized> DerefMut for KBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for KBox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
