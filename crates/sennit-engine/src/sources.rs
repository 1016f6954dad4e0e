//! The table from token to source. A token carries a generation, so that an event for a
//! descriptor which was closed and reused in the meantime finds nobody.

use std::rc::Rc;

use crate::host::{Host, Source};
use crate::poller::Readiness;

/// Names one registration: the slot in the low half, its generation in the high half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(pub u64);

impl Token {
    /// Nobody: what an object holds before it is registered. Also the waker's own token.
    pub const NONE: Token = Token(u64::MAX);

    fn new(index: usize, generation: u32) -> Self {
        Token(u64::from(generation) << 32 | index as u64)
    }

    fn index(self) -> usize {
        self.0 as u32 as usize
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

enum Slot<H: Host> {
    Taken {
        generation: u32,
        source: Rc<dyn Source<H>>,
        /// What the source is to hear in the next turn without being reported again.
        again: Option<Readiness>,
    },
    Free {
        generation: u32,
        next: usize,
    },
}

/// All sources of one reactor.
pub struct Sources<H: Host> {
    slots: Vec<Slot<H>>,
    free: usize,
    count: usize,
}

const END: usize = usize::MAX;

impl<H: Host> Default for Sources<H> {
    fn default() -> Self {
        Sources { slots: Vec::new(), free: END, count: 0 }
    }
}

impl<H: Host> Sources<H> {
    /// Takes a source in and names it.
    pub fn insert(&mut self, source: Rc<dyn Source<H>>) -> Token {
        self.count += 1;
        if self.free == END {
            self.slots.push(Slot::Taken { generation: 0, source, again: None });
            return Token::new(self.slots.len() - 1, 0);
        }
        let index = self.free;
        let slot = &mut self.slots[index];
        let Slot::Free { generation, next } = *slot else {
            unreachable!("the free list names free slots only")
        };
        self.free = next;
        *slot = Slot::Taken { generation, source, again: None };
        Token::new(index, generation)
    }

    /// The source behind a token, if it is still registered.
    pub fn get(&self, token: Token) -> Option<&Rc<dyn Source<H>>> {
        match self.slots.get(token.index()) {
            Some(Slot::Taken { generation, source, .. }) if *generation == token.generation() => {
                Some(source)
            }
            _ => None,
        }
    }

    /// Gives a source back to the caller, who drops it when nothing is borrowed.
    pub fn remove(&mut self, token: Token) -> Option<Rc<dyn Source<H>>> {
        self.get(token)?;
        let next = self.free;
        let slot = &mut self.slots[token.index()];
        // The last generation but one is never reached by wrapping into `Token::NONE`.
        let generation = token.generation().wrapping_add(1) & 0x7fff_ffff;
        let taken = std::mem::replace(slot, Slot::Free { generation, next });
        self.free = token.index();
        self.count -= 1;
        match taken {
            Slot::Taken { source, .. } => Some(source),
            Slot::Free { .. } => None,
        }
    }

    fn again(&mut self, token: Token) -> Option<&mut Option<Readiness>> {
        match self.slots.get_mut(token.index()) {
            Some(Slot::Taken { generation, again, .. }) if *generation == token.generation() => {
                Some(again)
            }
            _ => None,
        }
    }

    /// Notes what a source is to hear once more. True: nothing was noted for it before.
    pub fn note_again(&mut self, token: Token, readiness: Readiness) -> bool {
        let Some(again) = self.again(token) else { return false };
        let before = again.replace(again.unwrap_or_default().with(readiness));
        before.is_none()
    }

    /// Adds to what a source is to hear once more. False: it is to hear nothing.
    pub fn join_again(&mut self, token: Token, readiness: Readiness) -> bool {
        match self.again(token) {
            Some(Some(again)) => {
                *again = again.with(readiness);
                true
            }
            _ => false,
        }
    }

    /// Takes back what was noted.
    pub fn take_again(&mut self, token: Token) -> Option<Readiness> {
        self.again(token)?.take()
    }

    /// How many sources are registered.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no source is registered.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Every source.
    pub fn iter(&self) -> impl Iterator<Item = &Rc<dyn Source<H>>> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Taken { source, .. } => Some(source),
            Slot::Free { .. } => None,
        })
    }
}
