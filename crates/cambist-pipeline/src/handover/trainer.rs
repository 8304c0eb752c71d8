//! Who trains elsewhere, and how it is started.

/// A trainer of TRL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trainer {
    /// A command of `trl`.
    Command(&'static str),
    /// One of `trl.experimental`, which has no command, by its module; its classes begin with the same name in capitals.
    Experimental(&'static str),
}

/// The program that starts a trainer without a command, written for this module; those of others differ in its name alone.
const PROGRAM: &str = include_str!("train.py");

/// The module that [`PROGRAM`] is written for.
const MODULE: &str = "orpo";

impl Trainer {
    /// Names it to a reader.
    pub(super) fn name(self) -> String {
        match self {
            Self::Command(command) => format!("trl {command}"),
            Self::Experimental(module) => format!("trl.experimental.{module}"),
        }
    }

    /// Returns the command that starts it, in the folder that is handed over.
    pub(super) fn launch(self) -> String {
        match self {
            Self::Command(command) => {
                format!("trl {command} --config training.yaml --accelerate_config accelerate.yaml")
            }
            Self::Experimental(_) => {
                "accelerate launch --config_file accelerate.yaml train.py --config training.yaml".to_owned()
            }
        }
    }

    /// Returns `train.py`, where there is no command.
    pub(super) fn program(self) -> Option<String> {
        match self {
            Self::Command(_) => None,
            Self::Experimental(module) => {
                let classes = (MODULE.to_uppercase(), module.to_uppercase());
                Some(PROGRAM.replace(MODULE, module).replace(&classes.0, &classes.1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trainers_without_a_command_have_a_program() {
        let program = Trainer::Experimental("cpo").program().unwrap();
        assert!(program.contains("from trl.experimental.cpo import CPOConfig, CPOTrainer\n"), "{program}");
        assert!(!program.to_lowercase().contains(MODULE), "{program}");
        assert_eq!(Trainer::Experimental(MODULE).program().as_deref(), Some(PROGRAM));
        assert_eq!(Trainer::Command("sft").program(), None);
    }
}
