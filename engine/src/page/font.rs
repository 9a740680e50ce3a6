//! Fonts: the embedded one, the user's, and the fallback chain.

use crate::{Error, Result};
use ab_glyph::{Font, FontArc, FontVec, GlyphId};
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// An ordered list of fonts; the first that has a glyph draws it. The embedded Hack is always the last.
#[derive(Clone)]
pub struct FontStack {
    fonts: Arc<Vec<FontArc>>,
    fingerprint: [u8; 32],
}

impl fmt::Debug for FontStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FontStack")
            .field("fonts", &self.fonts.len())
            .finish_non_exhaustive()
    }
}

impl Default for FontStack {
    fn default() -> Self {
        let data = epaint_default_fonts::HACK_REGULAR;
        // The embedded bytes are a font (a test says so); without it every glyph would be the missing-glyph box.
        let fonts = FontArc::try_from_slice(data).into_iter().collect();
        Self {
            fonts: Arc::new(fonts),
            fingerprint: Sha256::digest(data).into(),
        }
    }
}

impl FontStack {
    /// The embedded font alone.
    pub fn embedded() -> Self {
        Self::default()
    }

    /// The fonts of `files` (TTF, OTF, TTC) in this order, then the embedded font.
    ///
    /// `file.ttc#2` takes face 2 of a collection; without a number it is face 0.
    ///
    /// # Errors
    /// A file that cannot be read or is not a font, a face that the file does not have.
    pub fn load<P: AsRef<Path>>(files: &[P]) -> Result<Self> {
        let mut data = Vec::with_capacity(files.len());
        for path in files {
            let (path, index) = face_index(path.as_ref());
            let bytes = std::fs::read(path).map_err(|source| Error::io("read font", path, source))?;
            data.push((bytes, index, path.display().to_string()));
        }
        Self::from_bytes(data)
    }

    /// Like [`Self::load`], from `(content, face index, name for error messages)`.
    ///
    /// # Errors
    /// A content that is not a font, a face that it does not have.
    pub fn from_bytes(files: Vec<(Vec<u8>, u32, String)>) -> Result<Self> {
        let embedded = Self::default();
        if files.is_empty() {
            return Ok(embedded);
        }
        let mut hash = Sha256::new();
        let mut fonts = Vec::new();
        for (bytes, index, place) in files {
            hash.update(Sha256::digest(&bytes));
            hash.update(index.to_le_bytes());
            fonts.push(face(bytes, index, &place)?);
        }
        hash.update(embedded.fingerprint);
        fonts.extend(embedded.fonts.iter().cloned());
        Ok(Self {
            fonts: Arc::new(fonts),
            fingerprint: hash.finalize().into(),
        })
    }

    /// SHA-256 of the fonts in order: equal fingerprints draw equal pages.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// Whether some font has a glyph for `ch`.
    pub fn covers(&self, ch: char) -> bool {
        self.find(ch).is_some()
    }

    /// The first font that has a glyph for `ch`.
    pub(super) fn find(&self, ch: char) -> Option<(&FontArc, GlyphId)> {
        self.fonts.iter().find_map(|font| {
            let id = font.glyph_id(ch);
            (id.0 != 0).then_some((font, id))
        })
    }
}

/// Splits `file.ttc#2` into the file and the face's index, unless a file of the whole name exists.
fn face_index(path: &Path) -> (&Path, u32) {
    let split = path
        .to_str()
        .filter(|_| !path.exists())
        .and_then(|p| p.rsplit_once('#'));
    match split.and_then(|(file, index)| Some((file, index.parse().ok()?))) {
        Some((file, index)) => (Path::new(file), index),
        None => (path, 0),
    }
}

fn face(bytes: Vec<u8>, index: u32, place: &str) -> Result<FontArc> {
    if index > 0 {
        let faces = match bytes.get(..12) {
            Some([b't', b't', b'c', b'f', _, _, _, _, n @ ..]) => n.iter().fold(0, |n, b| n << 8 | u32::from(*b)),
            _ => 1,
        };
        if index >= faces {
            return Err(Error::invalid(
                place,
                format!("has no face {index}: it holds {faces}, counted from 0"),
            ));
        }
    }
    let font = FontVec::try_from_vec_and_index(bytes, index).ok();
    // Scaling divides by both.
    font.filter(|font| font.height_unscaled() > 0.0 && font.units_per_em().is_some_and(|em| em > 0.0))
        .map(FontArc::new)
        .ok_or_else(|| Error::invalid(place, "not a font: give a TrueType or OpenType file (.ttf, .otf, .ttc)"))
}
