//! Images with captions: a JSONL file whose lines name an image each.

use super::batch::{ChunkSample, Form, Sample, SampleKind, SampleRequest};
use super::files::{Source, names};
use super::reader::json_lines;
use super::rng::permuted;
use crate::{Error, Result};
use folio_engine::config::FoldConfig;
use folio_engine::text::Tokenizer;
use image::imageops::FilterType;
use std::path::{Path, PathBuf};

/// A line: `image` is a path, relative to the file's folder; what else the line holds is of no use here.
#[derive(serde::Deserialize)]
struct Line {
    image: PathBuf,
    caption: String,
}

#[derive(Debug, Clone)]
struct Pair {
    image: PathBuf,
    caption: String,
    place: String,
}

/// Images with captions. Images are read when their sample is made, so memory holds paths and captions only.
#[derive(Debug)]
pub struct Captions {
    pairs: Vec<Pair>,
    tokenizer: Tokenizer,
    config: FoldConfig,
    seed: u64,
}

impl Captions {
    /// Reads the captions of `sources` and looks at the head of every image.
    ///
    /// # Errors
    /// Files without a caption; a line that is no such object, an image that is missing or of no known format, an empty
    /// caption, one that the tokenizer makes no token of: file, line and image are named.
    pub fn open(sources: &[Source], tokenizer: Tokenizer, config: &FoldConfig, seed: u64) -> Result<Self> {
        let mut pairs = Vec::new();
        json_lines(
            sources,
            "an \"image\" path and a \"caption\" string",
            &mut |path, place, line: Line| {
                let image = path.parent().unwrap_or(Path::new("")).join(&line.image);
                // The head only: it says whether the file is there and what it is.
                image::image_dimensions(&image)
                    .map_err(|e| Error::invalid(&place, format!("image {}: {e}", image.display())))?;
                if line.caption.trim().is_empty() {
                    return Err(Error::invalid(place, "the caption is empty"));
                }
                // Here rather than hours into the run: a sample without tokens has nothing to learn.
                let ids = tokenizer
                    .encode(&line.caption)
                    .map_err(|e| Error::invalid(&place, e.to_string()))?;
                if ids.is_empty() {
                    let what =
                        "the tokenizer makes no token of the caption: leave the line out, or take another tokenizer";
                    return Err(Error::invalid(place, what));
                }
                pairs.push(Pair {
                    image,
                    caption: line.caption,
                    place,
                });
                Ok(())
            },
        )?;
        if pairs.is_empty() {
            return Err(Error::invalid(
                names(sources),
                "hold no caption: there is nothing to learn",
            ));
        }
        Ok(Self {
            pairs,
            tokenizer,
            config: config.clone(),
            seed,
        })
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is none; [`Self::open`] refuses that.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The pair of `request`: every pair once before any comes again, in an order drawn anew each time.
    ///
    /// # Errors
    /// An image that cannot be decoded, a caption that cannot be tokenised.
    pub fn sample(&self, request: &SampleRequest) -> Result<Sample> {
        let n = self.pairs.len() as u64;
        let item = permuted(request.index % n, n, &[self.seed, request.index / n]) as usize;
        let pair = &self.pairs[item];
        let wrong = |e: String| Error::invalid(&pair.place, format!("image {}: {e}", pair.image.display()));
        let bytes = std::fs::read(&pair.image).map_err(|e| wrong(e.to_string()))?;
        let image = image::load_from_memory(&bytes).map_err(|e| wrong(e.to_string()))?;
        let mut ids = self
            .tokenizer
            .encode(&pair.caption)
            .map_err(|e| Error::invalid(&pair.place, e.to_string()))?;
        ids.truncate(request.max_tokens.unwrap_or(usize::MAX));
        let pages = patches(&image, &self.config);
        let chunk = ChunkSample {
            ids,
            pages,
            slots: self.config.vision.num_patches(),
            text: pair.caption.clone(),
            cells: Vec::new(),
            patch_tokens: Vec::new(),
            form: Form::PageText,
            learn: true,
            given: 0,
        };
        let sample = Sample {
            kind: request.kind,
            document: item,
            start: 0,
            chunks: vec![chunk],
        };
        Ok(sample.shaped(SampleKind::Caption))
    }
}

/// An image resized to the model's size and cut into patches, each flattened as (channel, row, column): grey for one
/// channel, red, green and blue for three (SigLIP squeezes images to its square, too).
fn patches(image: &image::DynamicImage, config: &FoldConfig) -> Vec<u8> {
    let vision = &config.vision;
    let (width, height) = (vision.image_width, vision.image_height);
    let image = image.resize_exact(width as u32, height as u32, FilterType::Triangle);
    let channels = vision.num_channels;
    let samples = if channels == 1 {
        image.into_luma8().into_raw()
    } else {
        image.into_rgb8().into_raw()
    };
    let depth = samples.len() / (width * height);
    let (columns, rows) = vision.patch_grid();
    let mut data = Vec::with_capacity(columns * rows * vision.patch_len());
    for patch in 0..columns * rows {
        let (left, top) = (
            patch % columns * vision.patch_width,
            patch / columns * vision.patch_height,
        );
        for channel in 0..channels {
            for y in top..top + vision.patch_height {
                data.extend(
                    (left..left + vision.patch_width).map(|x| samples[(y * width + x) * depth + channel % depth]),
                );
            }
        }
    }
    data
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::files::sources;
    use super::super::tests_support::tokenizer;
    use super::*;
    use folio_engine::config::preset;
    use std::collections::HashSet;

    fn config(channels: usize) -> FoldConfig {
        let mut config = preset("folio-nano").unwrap().fold.unwrap();
        config.vision.num_channels = channels;
        config
    }

    fn request(index: u64) -> SampleRequest {
        SampleRequest {
            index,
            kind: SampleKind::Caption,
            ..SampleRequest::default()
        }
    }

    fn open(dir: &Path, lines: &str, channels: usize) -> Result<Captions> {
        std::fs::write(dir.join("captions.jsonl"), lines).unwrap();
        let (tokenizer, _) = tokenizer("a red square", 270);
        Captions::open(
            &sources(&[dir.join("captions.jsonl")])?,
            tokenizer,
            &config(channels),
            1,
        )
    }

    #[test]
    fn an_image_becomes_a_full_page_before_its_caption() {
        let dir = tempfile::tempdir().unwrap();
        let vision = config(3).vision;
        let (w, h) = (vision.image_width as u32, vision.image_height as u32);
        // Left half red: only the first channel of the left patches is bright.
        let image = image::RgbImage::from_fn(w, h, |x, _| {
            image::Rgb(if x < w / 2 { [250, 0, 0] } else { [0, 0, 40] })
        });
        image.save(dir.path().join("a.png")).unwrap();
        let line = r#"{"image": "a.png", "caption": "a red square"}"#;
        let captions = open(dir.path(), line, 3).unwrap();
        let sample = captions.sample(&request(0)).unwrap();
        let chunk = &sample.chunks[0];
        assert_eq!(
            (sample.kind, chunk.form, chunk.learn),
            (SampleKind::Caption, Form::PageText, true)
        );
        assert_eq!(chunk.slots, vision.num_patches());
        assert_eq!(chunk.pages.len(), chunk.slots * vision.patch_len());
        let area = vision.patch_len() / 3;
        assert!(chunk.pages[..area].iter().all(|&x| x == 250));
        assert!(chunk.pages[area..3 * area].iter().all(|&x| x == 0));
        assert_eq!(*chunk.pages.last().unwrap(), 40);
        assert_eq!(captions.tokenizer.decode(&chunk.ids), "a red square");
        let grey = open(dir.path(), line, 1).unwrap().sample(&request(0)).unwrap();
        assert_eq!(grey.chunks[0].pages.len() * 3, chunk.pages.len());
    }

    #[test]
    fn every_pair_comes_once_in_each_round() {
        let dir = tempfile::tempdir().unwrap();
        image::GrayImage::new(4, 4).save(dir.path().join("a.png")).unwrap();
        let lines: Vec<String> = (0..7)
            .map(|i| format!(r#"{{"image": "a.png", "caption": "text {i}"}}"#))
            .collect();
        let captions = open(dir.path(), &lines.join("\n"), 1).unwrap();
        let round = |n: u64| -> Vec<usize> {
            (7 * n..7 * n + 7)
                .map(|i| captions.sample(&request(i)).unwrap().document)
                .collect()
        };
        assert_eq!(round(0).iter().collect::<HashSet<_>>().len(), 7);
        assert_eq!(round(1).iter().collect::<HashSet<_>>().len(), 7);
        assert_ne!(round(0), round(1));
    }

    #[test]
    fn a_caption_without_tokens_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        image::GrayImage::new(4, 4).save(dir.path().join("a.png")).unwrap();
        let lines = r#"{"image": "a.png", "caption": "a red square"}
{"image": "a.png", "caption": "zzz"}"#;
        std::fs::write(dir.path().join("captions.jsonl"), lines).unwrap();
        let (_, json) = tokenizer("a red square", 270);
        let mut json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        json["normalizer"] = serde_json::json!({"type": "Replace", "pattern": {"String": "z"}, "content": ""});
        let dropping = Tokenizer::from_bytes(json.to_string().as_bytes(), "tokenizer.json").unwrap();
        let sources = sources(&[dir.path().join("captions.jsonl")]).unwrap();
        let error = Captions::open(&sources, dropping, &config(1), 1)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("captions.jsonl, line 2") && error.contains("no token"),
            "{error}"
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let dir = tempfile::tempdir().unwrap();
        image::GrayImage::new(4, 4).save(dir.path().join("a.png")).unwrap();
        std::fs::write(dir.path().join("b.png"), "no image").unwrap();
        let good = r#"{"image": "a.png", "caption": "x"}"#;
        let error = |line: &str| open(dir.path(), &format!("{good}\n{line}"), 1).unwrap_err().to_string();
        let missing = error(r#"{"image": "gone.png", "caption": "x"}"#);
        assert!(
            missing.contains("captions.jsonl, line 2") && missing.contains("gone.png"),
            "{missing}"
        );
        assert!(error(r#"{"image": "b.png", "caption": "x"}"#).contains("b.png"));
        assert!(error(r#"{"image": "a.png", "caption": " "}"#).contains("caption is empty"));
        assert!(error(r#"{"caption": "x"}"#).contains("\"image\" path"));
        let none = open(dir.path(), "\n", 1).unwrap_err().to_string();
        assert!(none.contains("captions.jsonl: hold no caption"), "{none}");
        // Damaged behind its head: found when it is read.
        let png = std::fs::read(dir.path().join("a.png")).unwrap();
        let captions = open(dir.path(), good, 1).unwrap();
        std::fs::write(dir.path().join("a.png"), &png[..png.len() / 2]).unwrap();
        assert!(captions.sample(&request(0)).unwrap_err().to_string().contains("a.png"));
    }
}
