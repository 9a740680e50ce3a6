//! Tiny models and how the program is run.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use folio_engine::checkpoint::{Dtype, init_tensor, tensors, write};
use folio_engine::config::{
    AlignerConfig, AlignerKind, Config, FoldConfig, PageConfig, TextConfig, TextModelType, VisionConfig,
};
use folio_engine::text::byte_level_tokenizer_json;
use tempfile::TempDir;

/// Byte-level, d = 32, two layers, K = 16, β = 4: two lines of two strips of 6 cells.
pub(crate) fn config() -> Config {
    Config {
        text: TextConfig {
            model_type: TextModelType::Qwen3,
            vocab_size: 258,
            hidden_size: 32,
            intermediate_size: 64,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            num_key_value_heads: 1,
            head_dim: 16,
            max_position_embeddings: 4096,
            rms_norm_eps: 1e-6,
            rope_theta: 10_000.0,
            tie_word_embeddings: true,
        },
        bos_token_id: 0,
        eos_token_id: vec![1],
        fold: Some(FoldConfig {
            vision: VisionConfig {
                hidden_size: 16,
                intermediate_size: 32,
                num_hidden_layers: 1,
                num_attention_heads: 2,
                layer_norm_eps: 1e-6,
                num_channels: 1,
                patch_height: 16,
                patch_width: 48,
                image_height: 32,
                image_width: 96,
            },
            aligner: AlignerConfig {
                kind: AlignerKind::Linear,
                hidden_size: None,
            },
            page: PageConfig {
                font_px: 14.0,
                cell_width: 8,
                cell_height: 16,
                newline: '¶',
            },
            chunk_tokens: 16,
            visual_tokens: 4,
            visual_sees_text: false,
            reread_tokens: 0,
            skip_blank_patches: true,
            page_encoder: Default::default(),
        }),
    }
}

/// Writes a random model of `config` to `dir`.
pub(crate) fn write_model(dir: &Path, config: &Config, seed: u64) {
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join("config.json"), config.to_json()).unwrap();
    std::fs::write(
        dir.join("tokenizer.json"),
        byte_level_tokenizer_json(&[("<bos>", 0), ("<eos>", 1)]),
    )
    .unwrap();
    // Random logits are nearly flat: larger weights make greedy texts that depend on what the model sees.
    let values = &mut |spec: &folio_engine::checkpoint::TensorSpec| {
        Ok(init_tensor(config, spec, seed)
            .iter()
            .map(|x| if spec.name.contains("norm") { *x } else { x * 6.0 })
            .collect())
    };
    write(dir, &tensors(config), Dtype::F32, values).unwrap();
}

/// A folder for one test, with a model of its own in `m`.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    /// With the tiny model.
    pub(crate) fn new() -> Self {
        static MODEL: OnceLock<TempDir> = OnceLock::new();
        let shared = MODEL.get_or_init(|| {
            let dir = TempDir::new().unwrap();
            write_model(dir.path(), &config(), 1);
            dir
        });
        let place = Self {
            dir: TempDir::new().unwrap(),
        };
        std::fs::create_dir(place.path("m")).unwrap();
        for entry in std::fs::read_dir(shared.path()).unwrap() {
            let from = entry.unwrap().path();
            std::fs::copy(&from, place.path("m").join(from.file_name().unwrap())).unwrap();
        }
        place
    }

    /// With a changed tiny model.
    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let place = Self {
            dir: TempDir::new().unwrap(),
        };
        let mut config = config();
        change(&mut config);
        write_model(&place.path("m"), &config, 1);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.path(name)).unwrap()).unwrap()
    }

    /// Names in the folder, the model's left out.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name != "m");
        names.sort();
        names
    }

    /// The program, in this folder, with `--model m` after the command.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_folio"));
        command.current_dir(self.dir.path()).arg(args[0]);
        if args[0] != "devices" && !args.contains(&"--model") {
            command.args(["--model", "m"]);
        }
        command
            .args(&args[1..])
            .stdin(Stdio::null())
            .env_remove("FOLIO_MODEL")
            .env_remove("RUST_BACKTRACE");
        command
    }

    /// Runs it to the end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs it, which must succeed; gives stdout.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs it, which must fail cleanly with `code` and an error that contains `part`.
    pub(crate) fn fails(&self, args: &[&str], code: i32, part: &str) {
        let before = self.files();
        let output = self.run(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(part), "{args:?}: {part:?} is not in: {stderr}");
        assert!(
            !stderr.contains("panicked") && !stderr.contains("internal error"),
            "{args:?}: {stderr}"
        );
        // clap's usage errors say more; ours are a line or two.
        assert!(
            code == 2 || stderr.trim_end().lines().count() <= 2,
            "{args:?}: {stderr}"
        );
        assert!(
            output.stdout.is_empty(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
        assert_eq!(self.files(), before, "{args:?} left something half-written");
    }
}

/// A paragraph for prompts.
pub(crate) const TEXT: &str = "It was a small town, and every evening the same lamp was lit in the same window, so that \
                               those who came home late could see that somebody was still awake.";
