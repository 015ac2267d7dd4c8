//! A queue of byte strings that costs no allocation while it holds one, as it mostly does.

use std::collections::VecDeque;

use bytes::Bytes;

/// First in, first out.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    first: Option<Bytes>,
    rest: VecDeque<Bytes>,
}

impl Pieces {
    pub(crate) fn push(&mut self, piece: Bytes) {
        if self.first.is_none() {
            self.first = Some(piece);
        } else {
            self.rest.push_back(piece);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        let piece = self.first.take();
        if piece.is_some() && !self.rest.is_empty() {
            self.first = self.rest.pop_front();
        }
        piece
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(crate) fn clear(&mut self) {
        self.first = None;
        self.rest.clear();
    }

    /// The number of bytes in all pieces.
    pub(crate) fn bytes(&self) -> usize {
        self.iter().map(Bytes::len).sum()
    }

    /// All of it as one piece, which takes the place of the others. None where there is nothing.
    pub(crate) fn joined(&mut self) -> Option<Bytes> {
        if !self.rest.is_empty() {
            let mut whole = Vec::with_capacity(self.bytes());
            self.iter().for_each(|piece| whole.extend_from_slice(piece));
            self.clear();
            self.first = Some(whole.into());
        }
        self.first.clone()
    }

    fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.first.iter().chain(&self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(texts: &[&'static str]) -> Pieces {
        let mut pieces = Pieces::default();
        for text in texts {
            pieces.push(Bytes::from_static(text.as_bytes()));
        }
        pieces
    }

    #[test]
    fn what_was_pushed_first_is_popped_first() {
        let mut pieces = holding(&["a", "", "bc"]);
        assert_eq!(pieces.bytes(), 3);
        let mut popped = Vec::new();
        while let Some(piece) = pieces.pop() {
            popped.push(piece);
        }
        assert_eq!(popped, ["a", "", "bc"]);
        assert!(pieces.is_empty());
        assert_eq!(pieces.pop(), None);
    }

    #[test]
    fn pieces_are_joined_in_place() {
        let mut pieces = holding(&["a", "bc"]);
        assert_eq!(pieces.joined().unwrap(), "abc");
        assert_eq!(pieces.pop().unwrap(), "abc");
        assert_eq!(pieces.joined(), None);
        pieces.push(Bytes::from_static(b"x"));
        pieces.clear();
        assert!(pieces.is_empty());
    }
}
