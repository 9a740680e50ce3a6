//! Reading, checking and writing `config.json`.
use super::Config;
use crate::Result;
use std::path::Path;
impl Config {
    /// Reads and checks `dir/config.json`.
    pub fn load(_dir: &Path) -> Result<Self> {
        unimplemented!()
    }
    /// Parses and checks the content of a `config.json`; `place` names it in errors.
    pub fn from_json(_json: &str, _place: &str) -> Result<Self> {
        unimplemented!()
    }
    /// The `config.json` of this configuration.
    pub fn to_json(&self) -> String {
        unimplemented!()
    }
}
