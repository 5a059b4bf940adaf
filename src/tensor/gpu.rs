//! What of a GPU decides the bytes of a result.

/// A GPU, as far as its kernels and so its rounding depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// What it is sold as.
    pub name: String,
    /// Compute capability: major, minor.
    pub capability: (i32, i32),
    /// Streaming multiprocessors: libraries choose kernels and how they split sums by their number.
    pub multiprocessors: i32,
    /// Version of cuDNN, as it numbers itself.
    pub cudnn: i64,
}

impl Gpu {
    /// What GPUs must have in common to give equal bytes.
    pub fn class(&self) -> String {
        let Self { capability: (major, minor), multiprocessors, cudnn, .. } = self;
        format!("cuda sm_{major}{minor}, {multiprocessors} SMs, cuDNN {cudnn}")
    }

    /// Whether libtorch 2.11.0 for CUDA 13 has kernels for it. Its wheels are built for 7.5, 8.0, 8.6, 9.0, 10.0 and 12.0, the last as PTX
    /// too: so PyTorch's build scripts had it, and the library has not been asked. Kernels serve later minor versions of their own major
    /// one, PTX everything later.
    pub fn has_kernels(&self) -> bool {
        match self.capability {
            (7, minor) => minor >= 5,
            (major, _) => (8..=10).contains(&major) || major >= 12,
        }
    }
}

impl std::fmt::Display for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name, self.class())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_told_and_old_gpus_have_no_kernels() {
        let gpu = |major, minor| Gpu {
            name: "NVIDIA H100 PCIe".into(),
            capability: (major, minor),
            multiprocessors: 114,
            cudnn: 91_002,
        };
        assert_eq!(gpu(9, 0).to_string(), "NVIDIA H100 PCIe (cuda sm_90, 114 SMs, cuDNN 91002)");
        let with = [(7, 5), (8, 0), (8, 9), (9, 0), (10, 3), (12, 0), (12, 1), (13, 0)];
        assert!(with.into_iter().all(|(major, minor)| gpu(major, minor).has_kernels()));
        let without = [(3, 5), (6, 1), (7, 0), (11, 0)];
        assert!(!without.into_iter().any(|(major, minor)| gpu(major, minor).has_kernels()));
    }
}
