// SPDX-License-Identifier: GPL-2.0

//! A vector that says when memory is short.

use super::{
    inject,
    AllocError,
    Flags, //
};
use core::{
    fmt,
    ops::{
        Deref,
        DerefMut,
        Index,
        IndexMut, //
    },
    slice::SliceIndex,
};

/// The element did not fit.
pub struct PushError<T>(pub T);

/// There is no such element.
pub struct RemoveError;

/// The element could not be inserted.
pub enum InsertError<T> {
    /// It would not have touched the others.
    IndexOutOfBounds(T),
    /// It did not fit.
    OutOfCapacity(T),
}

impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Not enough capacity")
    }
}

impl fmt::Debug for RemoveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Index out of bounds")
    }
}

impl<T> fmt::Debug for InsertError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IndexOutOfBounds(_) => "Index out of bounds",
            Self::OutOfCapacity(_) => "Not enough capacity",
        })
    }
}

/// A vector that says when memory is short.
pub struct KVec<T>(Vec<T>);

impl<T> KVec<T> {
    /// Returns an empty vector without memory.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Returns an empty vector with memory for `capacity` elements.
    pub fn with_capacity(capacity: usize, flags: Flags) -> Result<Self, AllocError> {
        let mut vec = Self::new();
        vec.reserve(capacity, flags)?;
        Ok(vec)
    }

    /// Returns how many elements the memory can hold.
    pub const fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// Returns how many elements there are.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the elements.
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }

    /// Returns the elements.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.0
    }

    /// Makes room for `additional` more elements, and for as many as there are if it has to.
    pub fn reserve(&mut self, additional: usize, flags: Flags) -> Result<(), AllocError> {
        let (len, capacity) = (self.0.len(), self.0.capacity());
        if capacity - len >= additional {
            return Ok(());
        }
        inject::check(flags)?;
        let wanted = len.checked_add(additional).ok_or(AllocError)?;
        self.0
            .try_reserve_exact(wanted.max(capacity.saturating_mul(2)) - len)
            .map_err(|_| AllocError)
    }

    /// Adds an element at the end.
    pub fn push(&mut self, value: T, flags: Flags) -> Result<(), AllocError> {
        self.reserve(1, flags)?;
        self.0.push(value);
        Ok(())
    }

    /// Adds an element at the end, without allocating.
    pub fn push_within_capacity(&mut self, value: T) -> Result<(), PushError<T>> {
        if self.0.len() == self.0.capacity() {
            return Err(PushError(value));
        }
        self.0.push(value);
        Ok(())
    }

    /// Inserts an element at `index`, without allocating.
    pub fn insert_within_capacity(&mut self, index: usize, value: T) -> Result<(), InsertError<T>> {
        if index > self.0.len() {
            return Err(InsertError::IndexOutOfBounds(value));
        }
        if self.0.len() == self.0.capacity() {
            return Err(InsertError::OutOfCapacity(value));
        }
        self.0.insert(index, value);
        Ok(())
    }

    /// Takes the last element out.
    pub fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    /// Takes the element at `index` out; those after it move up.
    pub fn remove(&mut self, index: usize) -> Result<T, RemoveError> {
        if index >= self.0.len() {
            return Err(RemoveError);
        }
        Ok(self.0.remove(index))
    }

    /// Takes all elements out; the memory stays.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes out what is past `len`.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// Takes all elements out, one after the other.
    pub fn drain_all(&mut self) -> impl Iterator<Item = T> + '_ {
        self.0.drain(..)
    }

    /// Keeps the elements of which `keep` says so.
    pub fn retain(&mut self, keep: impl FnMut(&mut T) -> bool) {
        self.0.retain_mut(keep);
    }
}

impl<T: Clone> KVec<T> {
    /// Adds `count` copies of `value`.
    pub fn extend_with(&mut self, count: usize, value: T, flags: Flags) -> Result<(), AllocError> {
        self.reserve(count, flags)?;
        self.0.resize(self.0.len() + count, value);
        Ok(())
    }

    /// Adds copies of `other`.
    pub fn extend_from_slice(&mut self, other: &[T], flags: Flags) -> Result<(), AllocError> {
        self.reserve(other.len(), flags)?;
        self.0.extend_from_slice(other);
        Ok(())
    }

    /// Returns `count` copies of `value`.
    pub fn from_elem(value: T, count: usize, flags: Flags) -> Result<Self, AllocError> {
        let mut vec = Self::with_capacity(count, flags)?;
        vec.0.resize(count, value);
        Ok(vec)
    }

    /// Makes it `len` long, with copies of `value` where it was shorter.
    pub fn resize(&mut self, len: usize, value: T, flags: Flags) -> Result<(), AllocError> {
        match len.checked_sub(self.0.len()) {
            Some(more) => self.extend_with(more, value, flags),
            None => {
                self.truncate(len);
                Ok(())
            }
        }
    }
}

impl<T> Default for KVec<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for KVec<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> Deref for KVec<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for KVec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T, I: SliceIndex<[T]>> Index<I> for KVec<T> {
    type Output = I::Output;

    fn index(&self, index: I) -> &I::Output {
        &self.0[index]
    }
}

impl<T, I: SliceIndex<[T]>> IndexMut<I> for KVec<T> {
    fn index_mut(&mut self, index: I) -> &mut I::Output {
        &mut self.0[index]
    }
}

impl<T: PartialEq> PartialEq for KVec<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T: Eq> Eq for KVec<T> {}

impl<T> IntoIterator for KVec<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a KVec<T> {
    type Item = &'a T;
    type IntoIter = core::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'a, T> IntoIterator for &'a mut KVec<T> {
    type Item = &'a mut T;
    type IntoIter = core::slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter_mut()
    }
}
