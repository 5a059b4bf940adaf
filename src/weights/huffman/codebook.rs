//! Huffman trees, and streams of their codes.
//!
//! Both are bits, the most significant first; the first byte of a file is the number of zero bits that fill its last byte. A tree
//! is written in pre-order: `1` and 32 bits for a leaf, `0` and two trees for a fork. In a stream `0` goes left. The tree of
//! one symbol is a leaf, and each `0` stands for it.

/// What a leaf takes, in bits.
const LEAF_BITS: usize = 33;

#[derive(Debug)]
pub(super) struct Codebook {
    /// The root first.
    nodes: Vec<Node>,
}

/// The symbols of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    Whole(Vec<u32>),
    /// More than the limit.
    TooMany,
}

#[derive(Clone, Copy, Debug)]
enum Node {
    Leaf(u32),
    /// Positions of the left and the right child.
    Fork([usize; 2]),
}

impl Codebook {
    /// Reads the content of a codebook's file.
    ///
    /// # Errors
    /// When it is no whole tree, or more than one.
    pub(super) fn parse(file: &[u8]) -> Result<Self, String> {
        let mut bits = Bits::new(file)?;
        let mut nodes: Vec<Node> = Vec::new();
        // Forks whose child on this side comes next, the innermost last.
        let mut open: Vec<(usize, usize)> = Vec::new();
        loop {
            let at = nodes.len();
            if bits.next().ok_or("its tree ends too early")? {
                nodes.push(Node::Leaf(bits.symbol().ok_or("its tree ends too early")?));
            } else {
                nodes.push(Node::Fork([0, 0]));
            }
            if let Some((fork, side)) = open.pop()
                && let Some(Node::Fork(children)) = nodes.get_mut(fork)
            {
                children[side] = at;
            }
            if let Node::Fork(_) = nodes[at] {
                open.extend([(at, 1), (at, 0)]);
            }
            // Without this, a file of zeros would be a tree of as many forks as it has bits.
            if open.len().saturating_mul(LEAF_BITS) > bits.left() {
                return Err("its tree ends too early".to_owned());
            }
            if open.is_empty() {
                break;
            }
        }
        match bits.left() {
            0 => Ok(Self { nodes }),
            more => Err(format!("{more} bits follow its tree")),
        }
    }

    /// The symbols of a stream's file, unless they are more than `limit`.
    ///
    /// # Errors
    /// When it does not end at the end of a code.
    pub(super) fn decode(&self, file: &[u8], limit: usize) -> Result<Decoded, String> {
        let mut bits = Bits::new(file)?;
        let mut symbols = Vec::new();
        let mut at = 0;
        while let Some(bit) = bits.next() {
            if let Node::Fork(children) = self.nodes[at] {
                at = children[usize::from(bit)];
            } else if bit {
                return Err("a code that its codebook does not have".to_owned());
            }
            if let Node::Leaf(symbol) = self.nodes[at] {
                if symbols.len() == limit {
                    return Ok(Decoded::TooMany);
                }
                symbols.push(symbol);
                at = 0;
            }
        }
        if at == 0 { Ok(Decoded::Whole(symbols)) } else { Err("it ends in the middle of a code".to_owned()) }
    }
}

/// The bits of a file.
struct Bits<'a> {
    bytes: &'a [u8],
    next: usize,
    end: usize,
}

impl<'a> Bits<'a> {
    fn new(file: &'a [u8]) -> Result<Self, String> {
        let (&padding, bytes) = file.split_first().ok_or("it is empty")?;
        let n_bits = bytes.len().checked_mul(8).and_then(|n| n.checked_sub(padding.into())).filter(|_| padding < 8);
        let end = n_bits.ok_or_else(|| format!("it says that {padding} of its last bits are filling"))?;
        let bits = Self { bytes, next: 0, end };
        if (end..bytes.len() * 8).any(|at| bits.at(at)) {
            return Err("its filling is not zero".to_owned());
        }
        Ok(bits)
    }

    fn left(&self) -> usize {
        self.end - self.next
    }

    fn at(&self, idx: usize) -> bool {
        self.bytes[idx / 8] >> (7 - idx % 8) & 1 == 1
    }

    fn next(&mut self) -> Option<bool> {
        let bit = (self.next < self.end).then(|| self.at(self.next))?;
        self.next += 1;
        Some(bit)
    }

    /// The next 32 bits.
    fn symbol(&mut self) -> Option<u32> {
        (0..32).try_fold(0, |symbol, _| Some(symbol << 1 | u32::from(self.next()?)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The bits of a text of 0 and 1 as a file.
    fn file(bits: &str) -> Vec<u8> {
        let padding = (8 - bits.len() % 8) % 8;
        let padded = format!("{bits}{}", "0".repeat(padding));
        let bytes =
            padded.as_bytes().chunks(8).map(|c| u8::from_str_radix(std::str::from_utf8(c).unwrap(), 2).unwrap());
        std::iter::once(u8::try_from(padding).unwrap()).chain(bytes).collect()
    }

    fn leaf(symbol: u32) -> String {
        format!("1{symbol:032b}")
    }

    fn refusal(bits: &str) -> String {
        Codebook::parse(&file(bits)).unwrap_err()
    }

    #[test]
    fn codes_of_several_lengths_are_decoded() {
        let tree = Codebook::parse(&file(&format!("0{}0{}{}", leaf(7), leaf(8), leaf(u32::MAX)))).unwrap();
        assert_eq!(tree.decode(&file("0101100"), 9).unwrap(), Decoded::Whole(vec![7, 8, u32::MAX, 7, 7]));
        assert_eq!(tree.decode(&file(""), 0).unwrap(), Decoded::Whole(vec![]));
        assert_eq!(tree.decode(&file("0101100"), 4).unwrap(), Decoded::TooMany);
        assert_eq!(tree.decode(&file("010"), 9).unwrap(), Decoded::Whole(vec![7, 8]));
        assert!(tree.decode(&file("01"), 9).unwrap_err().contains("middle of a code"));
    }

    #[test]
    fn each_zero_is_the_only_symbol() {
        let tree = Codebook::parse(&file(&leaf(5))).unwrap();
        assert_eq!(tree.decode(&file("000"), 3).unwrap(), Decoded::Whole(vec![5, 5, 5]));
        assert!(tree.decode(&file("010"), 3).unwrap_err().contains("codebook"));
        assert_eq!(tree.decode(&vec![0; 1 << 20], 100).unwrap(), Decoded::TooMany);
    }

    #[test]
    fn trees_that_do_not_end_or_end_early_are_refused() {
        assert!(refusal("").contains("too early"));
        assert!(refusal("0").contains("too early"));
        assert!(refusal(&format!("0{}", leaf(1))).contains("too early"));
        assert!(refusal(&leaf(1)[..20]).contains("too early"));
        assert!(refusal(&"0".repeat(1 << 16)).contains("too early"));
        assert!(refusal(&format!("{}0", leaf(1))).contains("1 bits follow"));
    }

    #[test]
    fn a_deep_tree_needs_no_recursion() {
        let depth = 20_000;
        let tree: String = (0..depth).map(|i| format!("0{}", leaf(i))).collect::<String>() + &leaf(depth);
        let tree = Codebook::parse(&file(&tree)).unwrap();
        let deepest = file(&"1".repeat(depth as usize));
        assert_eq!(tree.decode(&deepest, 1).unwrap(), Decoded::Whole(vec![depth]));
    }

    #[test]
    fn filling_must_be_what_it_says() {
        let tree = Codebook::parse(&file(&leaf(5))).unwrap();
        assert!(tree.decode(&[], 9).unwrap_err().contains("empty"));
        assert!(tree.decode(&[3], 9).unwrap_err().contains("filling"));
        assert!(tree.decode(&[8, 0], 9).unwrap_err().contains("filling"));
        assert!(tree.decode(&[3, 0b0000_0100], 9).unwrap_err().contains("not zero"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(tree in proptest::collection::vec(any::<u8>(), 0..64), stream in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(tree) = Codebook::parse(&tree) {
                prop_assert!(!matches!(tree.decode(&stream, 100), Ok(Decoded::Whole(symbols)) if symbols.len() > 100));
            }
        }
    }
}
