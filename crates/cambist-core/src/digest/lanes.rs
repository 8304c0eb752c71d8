//! SHA-256 of many messages side by side: each step of the compression function is one vector instruction for sixteen of
//! them (FIPS 180-4, section 6.2).
//!
//! Where the processor has wide vectors and no instructions for SHA-256, this is four times faster than the best code
//! that hashes one message after the other.

/// Messages side by side: 32-bit words of one 512-bit register.
const LANES: usize = 16;

/// One word of each lane.
type Word = [u32; LANES];

/// The state before the first block (section 5.3.3).
const START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// The constants of the rounds (section 4.2.2).
const ROUNDS: [u32; 64] = [
    0x428a_2f98,
    0x7137_4491,
    0xb5c0_fbcf,
    0xe9b5_dba5,
    0x3956_c25b,
    0x59f1_11f1,
    0x923f_82a4,
    0xab1c_5ed5,
    0xd807_aa98,
    0x1283_5b01,
    0x2431_85be,
    0x550c_7dc3,
    0x72be_5d74,
    0x80de_b1fe,
    0x9bdc_06a7,
    0xc19b_f174,
    0xe49b_69c1,
    0xefbe_4786,
    0x0fc1_9dc6,
    0x240c_a1cc,
    0x2de9_2c6f,
    0x4a74_84aa,
    0x5cb0_a9dc,
    0x76f9_88da,
    0x983e_5152,
    0xa831_c66d,
    0xb003_27c8,
    0xbf59_7fc7,
    0xc6e0_0bf3,
    0xd5a7_9147,
    0x06ca_6351,
    0x1429_2967,
    0x27b7_0a85,
    0x2e1b_2138,
    0x4d2c_6dfc,
    0x5338_0d13,
    0x650a_7354,
    0x766a_0abb,
    0x81c2_c92e,
    0x9272_2c85,
    0xa2bf_e8a1,
    0xa81a_664b,
    0xc24b_8b70,
    0xc76c_51a3,
    0xd192_e819,
    0xd699_0624,
    0xf40e_3585,
    0x106a_a070,
    0x19a4_c116,
    0x1e37_6c08,
    0x2748_774c,
    0x34b0_bcb5,
    0x391c_0cb3,
    0x4ed8_aa4a,
    0x5b9c_ca4f,
    0x682e_6ff3,
    0x748f_82ee,
    0x78a5_636f,
    0x84c8_7814,
    0x8cc7_0208,
    0x90be_fffa,
    0xa450_6ceb,
    0xbef9_a3f7,
    0xc671_78f2,
];

/// Whether this machine hashes many messages faster side by side than one after the other; never in a build that is not
/// optimised, whose loops are no vectors.
#[cfg(target_arch = "x86_64")]
pub(super) fn pay_off() -> bool {
    !cfg!(debug_assertions)
        && matches!(pulp::Arch::new(), pulp::Arch::V4(_))
        && !std::arch::is_x86_feature_detected!("sha")
}

/// Other processors have instructions for SHA-256, or no vectors that are wide enough.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn pay_off() -> bool {
    false
}

/// Returns the SHA-256 of each message, in their order. A lane whose message ends takes the next one.
pub(super) fn hash(messages: &[&[u8]]) -> Vec<[u8; 32]> {
    let arch = pulp::Arch::new();
    let mut hashes = vec![[0; 32]; messages.len()];
    let mut waiting = messages.iter().enumerate();
    let mut next = || waiting.next().map(|(number, message)| Lane::of(number, message));
    let mut lanes: [Option<Lane<'_>>; LANES] = std::array::from_fn(|_| next());
    let mut state = START.map(|word| [word; LANES]);
    while lanes.iter().any(Option::is_some) {
        let blocks: [&Block; LANES] =
            std::array::from_fn(|lane| lanes[lane].as_ref().map_or(&[0; BLOCK], |lane| lane.block()));
        arch.dispatch(Compression { state: &mut state, blocks: &blocks });
        for (at, lane) in lanes.iter_mut().enumerate() {
            let Some(number) = lane.as_mut().and_then(Lane::advance) else { continue };
            for (bytes, word) in hashes[number].as_chunks_mut::<4>().0.iter_mut().zip(&state) {
                *bytes = word[at].to_be_bytes();
            }
            for (word, start) in state.iter_mut().zip(START) {
                word[at] = start;
            }
            *lane = next();
        }
    }
    hashes
}

/// Bytes that are compressed at once.
const BLOCK: usize = 64;

type Block = [u8; BLOCK];

/// A message on its way through a lane.
struct Lane<'m> {
    number: usize,
    whole: &'m [Block],
    /// What follows the whole blocks: the rest, a one, zeros and the length in bits (section 5.1.1).
    padded: [Block; 2],
    n_padded: usize,
    at: usize,
}

impl<'m> Lane<'m> {
    fn of(number: usize, message: &'m [u8]) -> Self {
        let (whole, rest) = message.as_chunks::<BLOCK>();
        let n_padded = if rest.len() < BLOCK - 8 { 1 } else { 2 };
        let mut padded = [[0; BLOCK]; 2];
        padded[0][..rest.len()].copy_from_slice(rest);
        padded[0][rest.len()] = 0x80;
        padded[n_padded - 1][BLOCK - 8..].copy_from_slice(&(8 * message.len() as u64).to_be_bytes());
        Self { number, whole, padded, n_padded, at: 0 }
    }

    fn block(&self) -> &Block {
        self.whole.get(self.at).unwrap_or_else(|| &self.padded[self.at - self.whole.len()])
    }

    /// Goes on to the next block; returns the message's number when there is none.
    fn advance(&mut self) -> Option<usize> {
        self.at += 1;
        (self.at == self.whole.len() + self.n_padded).then_some(self.number)
    }
}

/// One block of each lane on its way into the state.
struct Compression<'b> {
    state: &'b mut [Word; 8],
    blocks: &'b [&'b Block; LANES],
}

impl pulp::NullaryFnOnce for Compression<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let mut schedule = [[0; LANES]; 16];
        for (lane, block) in self.blocks.iter().enumerate() {
            for (word, bytes) in schedule.iter_mut().zip(block.as_chunks::<4>().0) {
                word[lane] = u32::from_be_bytes(*bytes);
            }
        }
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *self.state;
        for (round, constant) in ROUNDS.iter().enumerate() {
            let at = round % 16;
            if round >= 16 {
                let [near, far] = [schedule[(at + 1) % 16], schedule[(at + 14) % 16]];
                let earlier = schedule[(at + 9) % 16];
                for (lane, word) in schedule[at].iter_mut().enumerate() {
                    *word = word.wrapping_add(small(near[lane], [7, 18, 3])).wrapping_add(earlier[lane]);
                    *word = word.wrapping_add(small(far[lane], [17, 19, 10]));
                }
            }
            let (mut first, mut second) = ([0; LANES], [0; LANES]);
            for lane in 0..LANES {
                let choice = (e[lane] & f[lane]) ^ (!e[lane] & g[lane]);
                let majority = (a[lane] & b[lane]) ^ (a[lane] & c[lane]) ^ (b[lane] & c[lane]);
                first[lane] = h[lane].wrapping_add(big(e[lane], [6, 11, 25])).wrapping_add(choice);
                first[lane] = first[lane].wrapping_add(*constant).wrapping_add(schedule[at][lane]);
                second[lane] = big(a[lane], [2, 13, 22]).wrapping_add(majority);
            }
            (h, g, f, e) = (g, f, e, sum(d, first));
            (d, c, b, a) = (c, b, a, sum(first, second));
        }
        for (word, more) in self.state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
            *word = sum(*word, more);
        }
    }
}

#[inline(always)]
fn big(word: u32, turns: [u32; 3]) -> u32 {
    word.rotate_right(turns[0]) ^ word.rotate_right(turns[1]) ^ word.rotate_right(turns[2])
}

#[inline(always)]
fn small(word: u32, turns: [u32; 3]) -> u32 {
    word.rotate_right(turns[0]) ^ word.rotate_right(turns[1]) ^ (word >> turns[2])
}

#[inline(always)]
fn sum(one: Word, other: Word) -> Word {
    let mut sum = one;
    for lane in 0..LANES {
        sum[lane] = sum[lane].wrapping_add(other[lane]);
    }
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ring::digest::{SHA256, digest};

    use super::*;

    fn one_by_one(messages: &[&[u8]]) -> Vec<Vec<u8>> {
        messages.iter().map(|message| digest(&SHA256, message).as_ref().to_vec()).collect()
    }

    fn side_by_side(messages: &[&[u8]]) -> Vec<Vec<u8>> {
        hash(messages).iter().map(|hash| hash.to_vec()).collect()
    }

    #[test]
    fn every_length_up_to_some_blocks_is_padded_right() {
        let bytes: Vec<u8> = (0..300u32).map(|at| (at * 7 % 251) as u8).collect();
        let messages: Vec<&[u8]> = (0..bytes.len()).map(|length| &bytes[..length]).collect();
        assert_eq!(side_by_side(&messages), one_by_one(&messages));
        assert_eq!(hash(&[]), Vec::<[u8; 32]>::new());
    }

    proptest! {
        #[test]
        fn lanes_do_not_mix(lengths in prop::collection::vec(0usize..700, 0..70), seed in any::<u8>()) {
            let of = |(number, length): (usize, &usize)| -> Vec<u8> {
                (0..*length).map(|at| (at * 31 + number * 17) as u8 ^ seed).collect()
            };
            let messages: Vec<Vec<u8>> = lengths.iter().enumerate().map(of).collect();
            let borrowed: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(side_by_side(&borrowed), one_by_one(&borrowed));
        }
    }
}
