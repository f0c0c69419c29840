//! Several things looked for in one pass, each at the first of several paths that holds one.

use crate::path::{Path, same_key};
use crate::scan::{Malformed, Value, elements, members};

/// What a sought thing may be; anything else at its paths is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// A string, a number, `true` or `false`.
    Scalar,
}

/// What is looked for, its paths laid into one tree.
#[derive(Debug, Clone, Default)]
pub struct Paths {
    root: Node,
    sought: Vec<Kind>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    /// What is sought here, and the position of this path among those of the same.
    ends: Vec<(usize, usize)>,
    children: Vec<Child>,
}

#[derive(Debug, Clone)]
struct Child {
    step: String,
    /// The step as a position in an array.
    index: Option<usize>,
    node: Node,
}

/// A value that was found, and how far back its path stands among those of the same.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    rank: usize,
    /// The value.
    pub value: Value<'a>,
}

impl Paths {
    /// Looks for one more thing: at the first of `paths` that holds one of `kind`. Answers its
    /// number, counted from 0.
    ///
    /// # Errors
    /// The position of a path that stands there twice.
    pub fn seek(&mut self, paths: &[Path], kind: Kind) -> Result<usize, usize> {
        let sought = self.sought.len();
        for (rank, path) in paths.iter().enumerate() {
            let mut node = &mut self.root;
            for step in path.steps() {
                let known = node.children.iter().position(|child| child.step == *step);
                let place = known.unwrap_or_else(|| {
                    node.children.push(Child {
                        step: step.clone(),
                        index: step.parse().ok(),
                        node: Node::default(),
                    });
                    node.children.len() - 1
                });
                node = &mut node.children[place].node;
            }
            if node.ends.iter().any(|end| end.0 == sought) {
                return Err(rank);
            }
            node.ends.push((sought, rank));
        }
        self.sought.push(kind);
        Ok(sought)
    }

    /// Finds what is sought in a record: each thing at its number in `found`, which has room for
    /// all and holds nothing yet. Of a repeated key the last one counts.
    ///
    /// # Errors
    /// If the record is not JSON as far as it was looked at.
    pub fn find<'a>(
        &self,
        record: Value<'a>,
        found: &mut [Option<Found<'a>>],
    ) -> Result<(), Malformed> {
        self.walk(&self.root, record, found, &mut Vec::new())
    }

    /// Goes no deeper than the longest path.
    fn walk<'a>(
        &self,
        node: &Node,
        value: Value<'a>,
        found: &mut [Option<Found<'a>>],
        scratch: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        for &(sought, rank) in &node.ends {
            let fits = match self.sought[sought] {
                Kind::Text => value.is_string(),
                Kind::Scalar => !(value.is_object() || value.is_array() || value.is_null()),
            };
            let place = &mut found[sought];
            if fits && place.is_none_or(|best| rank <= best.rank) {
                *place = Some(Found { rank, value });
            }
        }
        if node.children.is_empty() {
            return Ok(());
        }
        for member in members(value) {
            let (key, member) = member?;
            let mut children = node.children.iter();
            if let Some(child) =
                children.find(|child| same_key(key, child.step.as_bytes(), scratch))
            {
                self.walk(&child.node, member, found, scratch)?;
            }
        }
        if node.children.iter().any(|child| child.index.is_some()) {
            for (index, element) in elements(value).enumerate() {
                let (_, element) = element?;
                let mut children = node.children.iter();
                if let Some(child) = children.find(|child| child.index == Some(index)) {
                    self.walk(&child.node, element, found, scratch)?;
                }
            }
        }
        Ok(())
    }
}
