//! Pickles for tests, instruction by instruction.

/// A pickle in the making.
#[derive(Clone, Default)]
pub(in super::super) struct Assembler {
    bytes: Vec<u8>,
}

impl Assembler {
    pub(in super::super) fn new() -> Self {
        Self::default()
    }

    /// Appends instructions as they are.
    pub(in super::super) fn op(mut self, instructions: &[u8]) -> Self {
        self.bytes.extend(instructions);
        self
    }

    pub(in super::super) fn then(self, other: &Self) -> Self {
        self.op(&other.bytes)
    }

    pub(in super::super) fn global(self, module: &str, name: &str) -> Self {
        self.op(format!("c{module}\n{name}\n").as_bytes())
    }

    pub(in super::super) fn text(self, text: &str) -> Self {
        let n_bytes = u32::try_from(text.len()).unwrap().to_le_bytes();
        self.op(b"X").op(&n_bytes).op(text.as_bytes())
    }

    /// An integer of any size, as LONG1.
    pub(in super::super) fn int(self, value: i64) -> Self {
        self.op(b"\x8a\x08").op(&value.to_le_bytes())
    }

    pub(in super::super) fn ints(self, values: &[i64]) -> Self {
        values.iter().fold(self.op(b"("), |asm, &value| asm.int(value)).op(b"t")
    }

    /// A tensor of the storage `key` of `n` values of `torch.<class>`.
    pub(in super::super) fn tensor(self, class: &str, key: &str, n: i64, view: (i64, &[i64], &[i64])) -> Self {
        let (offset, shape, strides) = view;
        let id = Self::new().op(b"(").text("storage").global("torch", class).text(key).text("cpu").int(n).op(b"tQ");
        let arguments = Self::new().op(b"(").then(&id).int(offset).ints(shape).ints(strides).op(b"\x89N").op(b"t");
        self.global("torch._utils", "_rebuild_tensor_v2").then(&arguments).op(b"R")
    }

    pub(in super::super) fn dict(self, entries: &[(&str, Self)]) -> Self {
        entries.iter().fold(self.op(b"}("), |asm, (key, value)| asm.text(key).then(value)).op(b"u")
    }

    pub(in super::super) fn stop(self) -> Vec<u8> {
        [b"\x80\x02".to_vec(), self.bytes, b".".to_vec()].concat()
    }
}
