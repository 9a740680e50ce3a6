//! Drawing a page.

use super::glyph::{Bitmap, draw};
use super::{FontStack, Typesetter};
use crate::config::{FoldConfig, PageConfig};
use crate::{Error, Result};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// Characters other than ASCII whose bitmaps are kept (about 0.2 KB each).
const CACHE: usize = 20_000;

/// Background of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tint {
    /// White: plain text and the model's own.
    #[default]
    White,
    /// Light grey: pages of user and system turns.
    Grey,
}

impl Tint {
    /// The background's grey value.
    pub fn value(self) -> u8 {
        match self {
            Self::White => 255,
            Self::Grey => 224,
        }
    }
}

/// An 8-bit grey page image, row after row.
#[derive(Clone, PartialEq, Eq)]
pub struct PageImage {
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `height × width` grey values, black ink on the background.
    pub pixels: Vec<u8>,
    /// The background's grey value.
    pub background: u8,
}

impl fmt::Debug for PageImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PageImage({}×{} on {})", self.width, self.height, self.background)
    }
}

impl PageImage {
    /// The image as an 8-bit grey PNG.
    ///
    /// # Panics
    /// If `pixels` does not hold `width × height` values.
    pub fn to_png(&self) -> Vec<u8> {
        assert_eq!(
            self.pixels.len(),
            self.width * self.height,
            "a page image holds width × height pixels"
        );
        let mut png = Vec::new();
        let written = write_png(&mut png, self.width as u32, self.height as u32, &self.pixels);
        // Writing to memory cannot fail when the sizes agree.
        assert!(written.is_ok(), "a page image is encoded: {written:?}");
        png
    }

    /// Reads a PNG as a grey page whose background is its lightest value; `place` names it in errors.
    ///
    /// # Errors
    /// Bytes that are not a PNG.
    pub fn from_png(png: &[u8], place: &str) -> Result<Self> {
        let (width, height, pixels) =
            read_png(png).map_err(|e| Error::invalid(place, format!("not a readable PNG ({e})")))?;
        let background = pixels.iter().copied().max().unwrap_or(255);
        Ok(Self {
            width,
            height,
            pixels,
            background,
        })
    }
}

fn write_png(out: &mut Vec<u8>, width: u32, height: u32, pixels: &[u8]) -> Result<(), png::EncodingError> {
    let mut encoder = png::Encoder::new(out, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()
}

/// Width, height and grey values of a PNG of any colour type; transparency is left out.
fn read_png(bytes: &[u8]) -> Result<(usize, usize, Vec<u8>), png::DecodingError> {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info()?;
    let size = reader.output_buffer_size().ok_or(png::DecodingError::LimitsExceeded)?;
    let mut samples = vec![0; size];
    let info = reader.next_frame(&mut samples)?;
    samples.truncate(info.buffer_size());
    let pixels = match info.color_type {
        png::ColorType::GrayscaleAlpha => samples.chunks_exact(2).map(|p| p[0]).collect(),
        png::ColorType::Rgb => samples.chunks_exact(3).map(luma).collect(),
        png::ColorType::Rgba => samples.chunks_exact(4).map(luma).collect(),
        _ => samples,
    };
    Ok((info.width as usize, info.height as usize, pixels))
}

/// Rec. 709 luma of an 8-bit colour.
fn luma(rgb: &[u8]) -> u8 {
    let [r, g, b] = [rgb[0], rgb[1], rgb[2]].map(u32::from);
    ((2126 * r + 7152 * g + 722 * b) / 10_000) as u8
}

/// A character, the cells it takes, and whether it is a mark.
type GlyphKey = (char, u8, bool);

/// Draws text as pages: same text, same config, same fonts, same bytes.
///
/// Clones share their glyph cache; rendering needs only `&self` and works from many threads.
#[derive(Clone)]
pub struct PageRenderer {
    typesetter: Typesetter,
    page: PageConfig,
    fonts: FontStack,
    /// Bitmaps of U+0020 to U+007E.
    ascii: Arc<[Bitmap]>,
    others: Arc<RwLock<HashMap<GlyphKey, Arc<Bitmap>>>>,
}

impl fmt::Debug for PageRenderer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageRenderer")
            .field("typesetter", &self.typesetter)
            .field("page", &self.page)
            .field("fonts", &self.fonts)
            .finish_non_exhaustive()
    }
}

impl PageRenderer {
    /// A renderer for a model's pages.
    pub fn new(config: &FoldConfig, fonts: FontStack) -> Self {
        let page = config.page.clone();
        let ascii = (' '..='~').map(|ch| draw(ch, 1, false, &page, &fonts)).collect();
        Self {
            typesetter: Typesetter::new(config),
            page,
            fonts,
            ascii,
            others: Arc::default(),
        }
    }

    /// The typesetter of these pages.
    pub fn typesetter(&self) -> &Typesetter {
        &self.typesetter
    }

    /// The fonts that draw.
    pub fn fonts(&self) -> &FontStack {
        &self.fonts
    }

    /// Draws one page. `text` must fit ([`Typesetter::fits`]): what does not is left out.
    pub fn render(&self, text: &str, tint: Tint) -> PageImage {
        let (cell_width, cell_height) = (self.page.cell_width, self.page.cell_height);
        let (width, height) = (
            self.typesetter.columns() * cell_width,
            self.typesetter.rows() * cell_height,
        );
        let background = tint.value();
        let mut pixels = vec![background; width * height];
        for cell in self.typesetter.layout(text) {
            let at = cell.row * cell_height * width + cell.column * cell_width;
            match (cell.ch, cell.mark) {
                (' ', false) => {}
                (ch @ ' '..='~', false) => {
                    blit(
                        &mut pixels,
                        at,
                        width,
                        &self.ascii[ch as usize - ' ' as usize],
                        background,
                    );
                }
                _ => blit(
                    &mut pixels,
                    at,
                    width,
                    &self.glyph((cell.ch, cell.width as u8, cell.mark)),
                    background,
                ),
            }
        }
        PageImage {
            width,
            height,
            pixels,
            background,
        }
    }

    fn glyph(&self, key: GlyphKey) -> Arc<Bitmap> {
        if let Some(bitmap) = self.others.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return bitmap.clone();
        }
        let bitmap = Arc::new(draw(key.0, key.1.into(), key.2, &self.page, &self.fonts));
        let mut others = self.others.write().unwrap_or_else(PoisonError::into_inner);
        if others.len() >= CACHE {
            others.clear();
        }
        others.insert(key, bitmap.clone());
        bitmap
    }
}

/// Lays ink on the page at pixel `at`; where marks overlap, the darker value stays.
fn blit(pixels: &mut [u8], at: usize, stride: usize, bitmap: &Bitmap, background: u8) {
    for (y, row) in bitmap.ink.chunks_exact(bitmap.width).enumerate() {
        let start = at + y * stride;
        for (pixel, ink) in pixels[start..start + bitmap.width].iter_mut().zip(row) {
            let value = (u32::from(background) * (255 - u32::from(*ink)) + 127) / 255;
            *pixel = (*pixel).min(value as u8);
        }
    }
}
