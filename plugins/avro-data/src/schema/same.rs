//! Whether two schemas describe the same bytes.

use super::{Node, NodeId, Schema};

type Place<'a> = (&'a Schema, NodeId);

/// Compares two types. `open`: the pairs of records that enclose them, for schemas that contain
/// themselves.
pub(super) fn same(a: Place<'_>, b: Place<'_>, open: &mut Vec<(NodeId, NodeId)>) -> bool {
    let mut inner = |x: NodeId, y: NodeId| same((a.0, x), (b.0, y), open);
    match (a.0.node(a.1), b.0.node(b.1)) {
        (Node::Null, Node::Null)
        | (Node::Boolean, Node::Boolean)
        | (Node::Int, Node::Int)
        | (Node::Long, Node::Long)
        | (Node::Float, Node::Float)
        | (Node::Double, Node::Double)
        | (Node::Bytes, Node::Bytes)
        | (Node::String, Node::String) => true,
        (Node::Fixed { size: x, .. }, Node::Fixed { size: y, .. }) => x == y,
        (Node::Enum { symbols: x, .. }, Node::Enum { symbols: y, .. }) => x == y,
        (Node::Array(x), Node::Array(y)) | (Node::Map(x), Node::Map(y)) => inner(*x, *y),
        (Node::Union(x), Node::Union(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| inner(*x, *y))
        }
        (Node::Record { fields: x, .. }, Node::Record { fields: y, .. }) => {
            if open.contains(&(a.1, b.1)) {
                return true;
            }
            open.push((a.1, b.1));
            let result = x.len() == y.len()
                && x.iter().zip(y).all(|(x, y)| {
                    x.name.replace('.', "_") == y.name.replace('.', "_")
                        && same((a.0, x.node), (b.0, y.node), open)
                });
            open.pop();
            result
        }
        _ => false,
    }
}
