//! `config.json`: what is read, what is refused, and that what is written is read back equal.

use folio_engine::config::{Config, PRESETS, preset};

#[test]
fn every_preset_is_valid_and_survives_its_file() {
    for name in PRESETS {
        let config = preset(name).expect("preset");
        let again = Config::from_json(&config.to_json(), "config.json").unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(again, config, "{name}");
        let text_only = Config { fold: None, ..config };
        assert_eq!(Config::from_json(&text_only.to_json(), "config.json").expect("text only"), text_only, "{name}");
    }
}
