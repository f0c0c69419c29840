//! All paths of a schema as one tree of keys.
//!
//! Nodes are numbered depth first, so that a node's own slot and those below it are one range:
//! when a key comes a second time, that range is cleared and the last one wins.

/// Index of a node; also that of its slot.
pub(crate) type Index = u32;

/// The paths. Node 0 is the document.
#[derive(Debug, Clone)]
pub(crate) struct Trie {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone)]
pub(crate) struct Node {
    key: Box<[u8]>,
    /// One past the last node below this one.
    pub end: Index,
    children: Vec<Index>,
    table: Table,
}

/// Children by key: a table without collisions, the factor for which is searched at start.
#[derive(Debug, Clone, Default)]
struct Table {
    entries: Vec<Entry>,
    factor: u64,
    shift: u32,
}

/// First 8 bytes, last 8 bytes, length: for keys of up to 16 bytes this is the key.
#[derive(Debug, Clone, Copy, Default)]
struct Print {
    first: u64,
    last: u64,
    len: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    print: Print,
    child: Index,
}

impl Trie {
    /// Builds the tree of some paths and gives the node of each.
    pub(crate) fn new<'a>(paths: impl Iterator<Item = &'a [String]> + Clone) -> (Trie, Vec<Index>) {
        // In any order first, then numbered depth first.
        let mut loose = vec![Loose::default()];
        let ends: Vec<usize> = paths
            .map(|path| {
                path.iter().fold(0, |at, key| {
                    let known = loose[at]
                        .children
                        .iter()
                        .copied()
                        .find(|c| loose[*c].key == *key);
                    known.unwrap_or_else(|| {
                        let child = loose.len();
                        loose.push(Loose {
                            key: key.clone(),
                            ..Loose::default()
                        });
                        loose[at].children.push(child);
                        child
                    })
                })
            })
            .collect();
        let mut trie = Trie {
            nodes: Vec::with_capacity(loose.len()),
        };
        let mut order = vec![0; loose.len()];
        trie.number(&loose, 0, &mut order);
        (trie, ends.iter().map(|end| order[*end]).collect())
    }

    fn number(&mut self, loose: &[Loose], at: usize, order: &mut [Index]) -> Index {
        let index = self.nodes.len() as Index;
        order[at] = index;
        self.nodes.push(Node {
            key: loose[at].key.as_bytes().into(),
            end: 0,
            children: Vec::new(),
            table: Table::default(),
        });
        let children: Vec<Index> = loose[at]
            .children
            .iter()
            .map(|child| self.number(loose, *child, order))
            .collect();
        let table = Table::new(children.iter().map(|c| (&*self.nodes[*c as usize].key, *c)));
        let end = self.nodes.len() as Index;
        let node = &mut self.nodes[index as usize];
        (node.end, node.children, node.table) = (end, children, table);
        index
    }

    /// How many nodes, and so slots, there are.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    #[inline]
    pub(crate) fn node(&self, index: Index) -> &Node {
        &self.nodes[index as usize]
    }

    /// The child with a key that stands at `start..end` of a document, without escapes.
    #[inline]
    pub(crate) fn child(
        &self,
        node: &Node,
        json: &[u8],
        start: usize,
        end: usize,
    ) -> Option<Index> {
        let table = &node.table;
        if table.entries.is_empty() {
            let key = json.get(start..end).filter(|key| !key.contains(&b'\\'))?;
            return self.child_named(node, key);
        }
        let print = Print::of(json, start, end)?;
        let entry = table
            .entries
            .get((print.mix().wrapping_mul(table.factor) >> table.shift) as usize)?;
        // One test, not three: most keys are not wanted, and which part differs cannot be foreseen.
        let differs = (entry.print.first ^ print.first)
            | (entry.print.last ^ print.last)
            | u64::from(entry.print.len ^ print.len);
        if differs != 0 || entry.child == 0 {
            return None;
        }
        // Long keys may differ in the middle.
        if print.len > 16 && *self.node(entry.child).key != json[start..end] {
            return None;
        }
        Some(entry.child)
    }

    /// The child with a key, compared as it is; for keys that were written with escapes.
    pub(crate) fn child_named(&self, node: &Node, key: &[u8]) -> Option<Index> {
        node.children
            .iter()
            .copied()
            .find(|child| *self.node(*child).key == *key)
    }
}

impl Node {
    #[inline]
    pub(crate) fn has_children(&self) -> bool {
        !self.children.is_empty()
    }
}

#[derive(Default)]
struct Loose {
    key: String,
    children: Vec<usize>,
}

impl Print {
    #[inline]
    fn of(json: &[u8], start: usize, end: usize) -> Option<Print> {
        let len = end.checked_sub(start)?;
        let word = |at: usize| -> Option<u64> {
            Some(u64::from_le_bytes(*json.get(at..)?.first_chunk::<8>()?))
        };
        if len >= 8 {
            return Some(Print {
                first: word(start)?,
                last: word(end - 8)?,
                len: len as u32,
            });
        }
        let first = match word(start) {
            Some(word) => word & ((1 << (len * 8)) - 1),
            // The last bytes of the document.
            None => {
                let mut bytes = [0; 8];
                bytes[..len].copy_from_slice(json.get(start..end)?);
                u64::from_le_bytes(bytes)
            }
        };
        Some(Print {
            first,
            last: first,
            len: len as u32,
        })
    }

    #[inline]
    fn mix(self) -> u64 {
        (self.first ^ self.last.rotate_left(29)).wrapping_add(u64::from(self.len))
    }
}

impl Table {
    fn new<'a>(children: impl Iterator<Item = (&'a [u8], Index)>) -> Table {
        // A key with bytes that JSON escapes never stands in a document as it is.
        let entries: Vec<Entry> = children
            .filter(|(key, _)| !key.iter().any(|b| matches!(b, b'"' | b'\\' | 0..0x20)))
            .filter_map(|(key, child)| {
                Some(Entry {
                    print: Print::of(key, 0, key.len())?,
                    child,
                })
            })
            .collect();
        if entries.is_empty() {
            return Table::default();
        }
        let mut bits = (entries.len() * 2)
            .next_power_of_two()
            .trailing_zeros()
            .max(1);
        // From a fixed start, so that a schema always gives the same table.
        let mut factor: u64 = 0x9E37_79B9_7F4A_7C15;
        loop {
            for _ in 0..10_000 {
                if let Some(entries) = place(&entries, factor, bits) {
                    return Table {
                        entries,
                        factor,
                        shift: 64 - bits,
                    };
                }
                factor = factor.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(2) | 1;
            }
            if bits >= 16 {
                break;
            }
            bits += 1;
        }
        // Keys whose first and last bytes mix to the same: found by name only.
        Table::default()
    }
}

fn place(entries: &[Entry], factor: u64, bits: u32) -> Option<Vec<Entry>> {
    let mut table = vec![Entry::default(); 1 << bits];
    for entry in entries {
        let cell = &mut table[(entry.print.mix().wrapping_mul(factor) >> (64 - bits)) as usize];
        if cell.child != 0 {
            return None;
        }
        *cell = *entry;
    }
    Some(table)
}
