//! Memory that insertions are sure of.

use super::{
    Index,
    directory::Directory,
    memory::Memory,
    node::{FANOUT, LEVEL_MAX},
};
use crate::{error::Result, host::Host};

/// The nodes that one insertion may need: those down to its leaf, and those the tree
/// grows by.
const PATH_MAX: usize = 2 * LEVEL_MAX as usize;

/// Leaves and nodes in reserve.
#[derive(Clone, Copy)]
pub(crate) struct Reserved {
    leaves: usize,
    nodes: usize,
}

impl Reserved {
    /// What `nr` insertions within one aligned run may need.
    pub(crate) fn for_insertions(nr: usize) -> Self {
        if nr == 0 {
            return Self { leaves: 0, nodes: 0 };
        }
        // Wide leaves hold everything: one for each 64 entries begun, twice, since a range is staged in leaves of its
        // own first, and what tells of these.
        let leaves = nr.div_ceil(FANOUT).saturating_add(1);
        let directories = leaves.div_ceil(Directory::LEAVES);
        // Those above leaves, and a path to the top with its growth: twice, for two that come at once.
        let nodes = leaves.div_ceil(FANOUT - 1).saturating_add(PATH_MAX);
        Self {
            leaves: leaves.saturating_mul(2).saturating_add(directories),
            nodes: nodes.saturating_mul(2),
        }
    }
}

impl<H: Host> Index<H> {
    /// Leaves and nodes that are kept for when the host has none.
    pub(crate) fn reserved(&self) -> Reserved {
        let Memory { host, nodes, wides, .. } = &self.memory;
        Reserved { leaves: wides.reserved(host), nodes: nodes.reserved(host) }
    }

    /// Sees to it that as many are kept as are wanted, or more. On an error they are as before.
    pub(crate) fn raise_reserve(&self, wanted: Reserved) -> Result<()> {
        let Memory { host, nodes, wides, .. } = &self.memory;
        let before = wides.reserved(host);
        wides.raise_reserve(host, wanted.leaves)?;
        nodes.raise_reserve(host, wanted.nodes).inspect_err(|_| wides.lower_reserve(host, before))
    }

    /// Gives back those that are more than are wanted.
    pub(crate) fn lower_reserve(&self, wanted: Reserved) {
        let Memory { host, nodes, wides, .. } = &self.memory;
        wides.lower_reserve(host, wanted.leaves);
        nodes.lower_reserve(host, wanted.nodes);
    }

    /// Bytes held from the host: for leaves and nodes in use or pooled, and in reserve.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        let Memory { host, nodes, wides, narrows, .. } = &self.memory;
        let leaves = wides.bytes(host).saturating_add(narrows.bytes(host));
        let reserved = nodes.reserved_bytes(host).saturating_add(wides.reserved_bytes(host));
        (nodes.bytes(host).saturating_add(leaves), reserved)
    }
}
