//! Pickles as data: an interpreter of Python's object streams that calls nothing.
//!
//! A pickle is a program for a stack machine that may name any function of any module and call it. Here names stay names: those
//! that tensors are made of are understood ([`globals`]), all others give a [`heap::Node::Instance`] that remembers its class
//! and nothing else. The instructions are those of protocols 2 to 5, as far as `torch.save` and numpy write them
//! (Python's `Lib/pickletools.py` documents them).
//!
//! Whatever a file says about lengths is checked against the bytes that are there, and the number of instructions, of nested
//! marks, of values on the stack and of copied values is limited ([`machine`], [`stack`]).

#[cfg(test)]
pub(super) mod assemble;
pub(super) mod globals;
pub(super) mod heap;
mod machine;
mod rebuild;
mod source;
mod stack;

use std::io::Read;

use super::flaw::Flaw;

pub(super) use rebuild::bytes_of;
pub(super) use source::Source;

/// Longest pickle, in bytes. The names and shapes of a thousand tensors take a tenth of a megabyte.
pub(super) const MAX_BYTES: u64 = 64 << 20;

/// Longest key of a storage, in bytes.
pub(super) const MAX_KEY: usize = 256;

/// What a pickle describes.
#[derive(Debug)]
pub(super) struct Pickle {
    pub(super) heap: heap::Heap,
    /// The object that was saved.
    pub(super) root: heap::Value,
}

impl Pickle {
    /// Reads one pickle up to its end.
    ///
    /// # Errors
    /// When it breaks off, contradicts itself, goes beyond a limit, or uses an instruction that is not known here.
    pub(super) fn read<R: Read>(source: &mut Source<R>) -> Result<Self, Flaw> {
        machine::Machine::default().run(source)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::assemble::Assembler;
    use super::heap::{Node, Value};
    use super::*;

    fn read(bytes: &[u8]) -> Result<Pickle, String> {
        let mut source = Source::new(bytes, bytes.len() as u64);
        Pickle::read(&mut source).map_err(|flaw| format!("{flaw:?}"))
    }

    fn refusal(bytes: &[u8]) -> String {
        read(bytes).map(|pickle| pickle.heap.describe(pickle.root)).unwrap_err()
    }

    /// What `pickle` describes, as text.
    fn described(pickle: &Assembler) -> String {
        let pickle = read(&pickle.clone().stop()).unwrap();
        pickle.heap.describe(pickle.root)
    }

    #[test]
    fn values_of_all_kinds_are_carried() {
        let asm = || Assembler::new();
        assert_eq!(described(&asm().op(b"N")), "nothing");
        assert_eq!(described(&asm().op(b"\x88")), "a truth value");
        assert_eq!(described(&asm().op(b"G\x3f\xf0\0\0\0\0\0\0")), "a number");
        assert_eq!(described(&asm().text("a")), "a text");
        assert_eq!(described(&asm().op(b"]").int(1).op(b"a")), "a list of 1");
        assert_eq!(described(&asm().op(b"(").int(1).int(2).op(b"t")), "a tuple of 2");
        assert_eq!(described(&asm().op(b"}(").text("k").int(2).op(b"u")), "a dictionary of 1");
        assert_eq!(described(&asm().op(b"\x8f(").int(1).op(b"\x90")), "a list of 1");
        assert_eq!(described(&asm().op(b"C\x01x")), "bytes");
    }

    #[test]
    fn integers_keep_their_value() {
        let root = |bytes: &[u8]| read(&[bytes, b"."].concat()).unwrap().root;
        assert_eq!(root(b"K\xff"), Value::Int(255));
        assert_eq!(root(b"M\x00\x01"), Value::Int(256));
        assert_eq!(root(b"J\xff\xff\xff\xff"), Value::Int(-1));
        assert_eq!(root(b"\x8a\x00"), Value::Int(0));
        assert_eq!(root(b"\x8a\x01\xfe"), Value::Int(-2));
        assert_eq!(root(b"\x8a\x05\0\0\0\0\x01"), Value::Int(1 << 32));
        assert_eq!(root(b"\x8b\x02\0\0\0\x00\x80"), Value::Int(-32768));
        let pickle = read(b"\x8a\x09\0\0\0\0\0\0\0\0\x01.").unwrap();
        assert!(matches!(pickle.heap.get(pickle.root), Some(Node::Long(bytes)) if bytes[8] == 1));
    }

    #[test]
    fn a_name_that_is_not_on_the_list_is_carried_and_not_called() {
        let call = Assembler::new().global("os", "system").op(b"(").text("true").op(b"tR");
        assert_eq!(described(&call), "an object of `os.system`");
        let state = call.clone().op(b"}(").text("k").int(1).op(b"ub");
        assert_eq!(described(&state), "an object of `os.system`");
        let new = Assembler::new().text("os").text("system").op(b"\x93)\x81");
        assert_eq!(described(&new), "an object of `os.system`");
        let chained = call.op(b")R");
        assert_eq!(described(&chained), "an object of `a computed class`");
    }

    #[test]
    fn a_dictionary_may_come_as_pairs() {
        let pair = Assembler::new().global("collections", "OrderedDict").op(b"(]](").text("k").int(7).op(b"eatR");
        let pickle = read(&pair.stop()).unwrap();
        assert_eq!(pickle.heap.entry(pickle.root, "k"), Some(Value::Int(7)));
    }

    #[test]
    fn truncated_pickles_are_refused_at_every_byte() {
        let whole = Assembler::new().op(b"}q\x00(").text("key").op(b"\x8a\x02\x01\x02C\x03abcK\x05uh\x00\x86").stop();
        for n in 0..whole.len() {
            assert!(read(&whole[..n]).is_err(), "cut at {n}");
        }
    }

    #[test]
    fn lengths_beyond_the_bytes_are_refused_before_anything_is_allocated() {
        for bytes in [
            &b"X\xff\xff\xff\xffabc."[..],
            b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffabc.",
            b"B\xff\xff\xff\x7f.",
            b"\x8e\0\0\0\0\0\0\0\x80.",
            b"\x8b\xff\xff\xff\x7f.",
        ] {
            assert!(refusal(bytes).contains("ends too early"), "{bytes:?}");
        }
        assert!(refusal(b"\x8b\xff\xff\xff\xff.").contains("length"));
    }

    #[test]
    fn programs_that_no_pickler_writes_are_refused() {
        for (bytes, reason) in [
            (&b"."[..], "nothing on its stack"),
            (b"0.", "nothing on its stack"),
            (b"(a.", "nothing on its stack"),
            (b"t.", "without its mark"),
            (b"h\x07.", "has not been stored"),
            (b"K\x01K\x02R.", "calls a number"),
            (b"}K\x01a.", "adds to a dictionary"),
            (b"](K\x01u.", "odd number"),
            (b"](K\x01K\x02u.", "sets entries of a list"),
            (b"NQ.", "persistent"),
            (b"\xfe.", "unknown instruction 0xfe"),
            (b"\x80\x06N.", "protocol 6"),
            (b"cos\nsystem\n(i", "unknown instruction 0x69"),
        ] {
            assert!(refusal(bytes).contains(reason), "{bytes:?}: {}", refusal(bytes));
        }
    }

    #[test]
    fn depth_stack_and_instructions_are_limited() {
        assert!(refusal(&[b'('; 5000]).contains("nested"));
        assert!(refusal(&[b'N'; 2_000_000]).contains("values on its stack"));
        assert!(refusal(&b"N0".repeat(1_500_000)).contains("instructions"));
        // Lists within lists need no recursion.
        let deep = [&[b']'; 100_000][..], &[b'a'; 99_999], b"."].concat();
        assert!(read(&deep).is_ok());
    }

    #[test]
    fn copies_of_one_list_are_limited() {
        let list = [b"](".to_vec(), vec![b'N'; 100_000], b"eq\x01".to_vec()].concat();
        let copies = b"ccollections\nOrderedDict\nh\x01\x85R0".repeat(100);
        let text = refusal(&[list, copies, b"N.".to_vec()].concat());
        assert!(text.contains("pairs"), "{text}");
        let list = [b"](".to_vec(), b"NN\x86".repeat(100_000), b"eq\x01".to_vec()].concat();
        let copies = b"ccollections\nOrderedDict\nh\x01\x85R0".repeat(100);
        assert!(refusal(&[list, copies, b"N.".to_vec()].concat()).contains("copies"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _outcome = read(&bytes);
        }

        #[test]
        fn any_instructions_are_read_or_refused(
            ops in proptest::collection::vec(proptest::sample::select(&b"()]}Nt\x85\x86\x87abeusRQ0q\x010h\x01\x81\x8f\x90K\x02"[..]), 0..300),
        ) {
            let torch = b"ctorch._utils\n_rebuild_tensor_v2\n(Ktq\x00ctorch\nFloatStorage\nq\x01";
            let _outcome = read(&[&torch[..], &ops, b"."].concat());
        }
    }
}
