//! Systems on which nobody is told on which core to run: [`crate::placement`] places nothing there.

/// Cores that cannot be chosen on this system.
#[derive(Clone)]
pub(crate) struct CpuSet;

impl CpuSet {
    pub(crate) fn only(_core: usize) -> Self {
        Self
    }

    pub(crate) fn cores(&self) -> Vec<usize> {
        Vec::new()
    }
}

/// On which cores a thread may run: not known here.
pub(crate) fn affinity(_thread: i32) -> Option<CpuSet> {
    None
}

pub(crate) fn set_affinity(_thread: i32, _cores: &CpuSet) -> bool {
    false
}

pub(crate) fn threads(_pid: i32) -> Vec<i32> {
    Vec::new()
}
