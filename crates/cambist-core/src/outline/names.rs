//! Texts without a piece of memory for each: names that repeat, and texts end to end.

use std::{borrow::Borrow, collections::HashMap, hash::Hash};

/// Names, each kept once and known by its place.
#[derive(Clone, Debug)]
pub(super) struct Names<T> {
    names: Vec<T>,
    places: HashMap<T, u32>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { names: Vec::new(), places: HashMap::new() }
    }
}

impl<T: Clone + Eq + Hash> Names<T> {
    /// Returns the place of a name, a new one for a new name.
    pub(super) fn place<Q>(&mut self, name: &Q) -> u32
    where
        T: Borrow<Q>,
        Q: ToOwned<Owned = T> + Eq + Hash + ?Sized,
    {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = self.names.len() as u32;
        self.names.push(name.to_owned());
        self.places.insert(name.to_owned(), place);
        place
    }

    /// The name at a place that [`Names::place`] gave.
    pub(super) fn name(&self, place: u32) -> &T {
        &self.names[place as usize]
    }

    /// All names in the order of their places.
    pub(super) fn all(&self) -> &[T] {
        &self.names
    }
}

/// Texts end to end.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts {
    text: String,
    ends: Vec<usize>,
}

impl Texts {
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    pub(super) fn get(&self, at: usize) -> &str {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[at]]
    }
}
