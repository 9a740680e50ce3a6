//! What a control is called, and in which memory it is measured.

use super::edit_distance;
use crate::data::Memory;
use crate::{Error, Result};
use std::fmt;

/// A control's name: a memory (`full`), a memory with a label of one's own (`full:wide`), or a label alone, which stands for a
/// model that folds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlName(String);

impl ControlName {
    /// The control that is called `name`.
    ///
    /// # Errors
    /// A name that is nearly that of a memory: a typo would be measured in another memory than the one meant.
    pub fn new(name: &str) -> Result<Self> {
        let head = head(name);
        let memories = || Memory::ALL.into_iter().map(Memory::name);
        let plain = head.to_lowercase().replace('-', "_");
        // Short names are near to many words.
        let near = |memory: &&str| edit_distance(&plain, memory) <= if memory.len() < 6 { 1 } else { 2 };
        if Memory::named(head).is_none()
            && let Some(meant) = memories().find(near)
        {
            let known: Vec<&str> = memories().collect();
            return Err(Error::Argument(format!(
                "\"{name}\" is no memory; is {meant} meant? They are {}; a label for a model that folds is written vision:LABEL",
                known.join(", ")
            )));
        }
        Ok(Self(name.to_owned()))
    }

    /// The memory that it names; `None` for a label alone.
    pub fn memory(&self) -> Option<Memory> {
        Memory::named(head(&self.0))
    }
}

impl fmt::Display for ControlName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What stands before the label.
fn head(name: &str) -> &str {
    name.split_once(':').map_or(name, |(head, _)| head)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_may_have_a_label_and_a_label_is_a_model_that_folds() {
        for memory in Memory::ALL {
            for name in [memory.name().to_owned(), format!("{}:twice as wide", memory.name())] {
                let control = ControlName::new(&name).unwrap();
                assert_eq!((control.memory(), control.to_string()), (Some(memory), name));
            }
        }
        for name in ["twin", "other", "visual_sees_text", "b1", "fold", "vist2-4b"] {
            assert_eq!(ControlName::new(name).unwrap().memory(), None, "{name}");
        }
    }

    #[test]
    fn typos_of_a_memory_are_refused() {
        for (name, meant) in [
            ("ful", "full"),
            ("Full", "full"),
            ("windw:2", "window"),
            ("mean-pool", "mean_pool"),
            ("shufled_page", "shuffled_pages"),
            ("nome", "none"),
        ] {
            let error = ControlName::new(name).unwrap_err().to_string();
            assert!(
                error.contains(&format!("is {meant} meant")) && error.contains("conv_pyramid"),
                "{error}"
            );
        }
    }
}
