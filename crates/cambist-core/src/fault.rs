//! Whose fault an error is.

/// Whose fault an error is, and so what the process exits with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The arguments, the recipe or a given file: changing them helps, trying again does not.
    You,
    /// The disk, a lock, the network or a teacher: trying again later may help.
    World,
    /// A broken promise of this program: please report it.
    Us,
}

impl Fault {
    /// The exit code of the command line: 2 you, 3 the world, 70 us (`EX_SOFTWARE` of `sysexits.h`).
    pub fn exit_code(self) -> u8 {
        match self {
            Self::You => 2,
            Self::World => 3,
            Self::Us => 70,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_that_scripts_rely_on() {
        assert_eq!([Fault::You, Fault::World, Fault::Us].map(Fault::exit_code), [2, 3, 70]);
    }
}
