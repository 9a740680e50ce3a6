//! The vision side of the configuration: encoder, aligner, page geometry, chunking.

use serde::{Deserialize, Serialize};

/// Shape of the vision encoder (keys as in `SiglipVisionConfig`, with rectangular images and patches).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VisionConfig {
    /// Width of the encoder's residual stream.
    pub hidden_size: usize,
    /// Width of the MLP's hidden layer.
    pub intermediate_size: usize,
    /// Number of encoder blocks.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Epsilon of every LayerNorm.
    pub layer_norm_eps: f64,
    /// Image channels: a grey page is repeated over them.
    pub num_channels: usize,
    /// Patch height in pixels.
    pub patch_height: usize,
    /// Patch width in pixels.
    pub patch_width: usize,
    /// Page height in pixels.
    pub image_height: usize,
    /// Page width in pixels.
    pub image_width: usize,
}

impl VisionConfig {
    /// Patches per row and per column of the page: `(columns, rows)`.
    pub fn patch_grid(&self) -> (usize, usize) {
        (
            self.image_width / self.patch_width,
            self.image_height / self.patch_height,
        )
    }

    /// Number of patches of a full page (β without blank skipping).
    pub fn num_patches(&self) -> usize {
        let (columns, rows) = self.patch_grid();
        columns * rows
    }

    /// Length of one flattened patch: channels × rows × columns.
    pub fn patch_len(&self) -> usize {
        self.num_channels * self.patch_height * self.patch_width
    }
}

/// How encoder outputs become visual tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlignerKind {
    /// `scale * tanh(W v + b)`, `scale` a learned scalar.
    Tanh,
    /// `W v + b`.
    Linear,
    /// Linear, exact GELU, linear.
    Mlp,
}

/// The aligner (spec section 2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlignerConfig {
    /// Which of the three.
    pub kind: AlignerKind,
    /// Hidden width of the `mlp` kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden_size: Option<usize>,
}

/// Geometry of a page (spec section 4): a grid of character cells aligned with the patch grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PageConfig {
    /// Font size in pixels (height from ascent to descent).
    pub font_px: f32,
    /// Width of a character cell in pixels; divides the patch width.
    pub cell_width: usize,
    /// Height of a character cell in pixels; divides the patch height.
    pub cell_height: usize,
    /// The character that is drawn for a line break, in one cell.
    pub newline: char,
}

/// What makes a page's visual tokens. The last two are controls: nothing is seen, the chunk's tokens are compressed as they
/// are embedded (spec section 6); their models keep `vision_config` for the page's geometry and have no vision tower.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageEncoder {
    /// The vision encoder and the aligner.
    #[default]
    Vision,
    /// Means of consecutive token embeddings; no weights of their own.
    MeanPool,
    /// Two strided convolutions over the token embeddings, then the aligner.
    ConvPyramid,
}

impl PageEncoder {
    /// As it is called in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vision => "vision",
            Self::MeanPool => "mean_pool",
            Self::ConvPyramid => "conv_pyramid",
        }
    }
}

/// Everything that folding needs beyond the decoder.
#[derive(Debug, Clone, PartialEq)]
pub struct FoldConfig {
    /// The vision encoder.
    pub vision: VisionConfig,
    /// The aligner.
    pub aligner: AlignerConfig,
    /// The page.
    pub page: PageConfig,
    /// K: tokens in a full chunk.
    pub chunk_tokens: usize,
    /// β: visual tokens of a full page.
    pub visual_tokens: usize,
    /// Whether a page's visual tokens also see the text that they replace (spec section 3).
    pub visual_sees_text: bool,
    /// Tokens at the end of a page that are read again as text in front of the chunk after it, and go with its text; 0 in the
    /// method as published, where a page is all that is left.
    pub reread_tokens: usize,
    /// Whether trailing blank patches of a page yield no visual token.
    pub skip_blank_patches: bool,
    /// What makes a page's visual tokens.
    pub page_encoder: PageEncoder,
}

impl FoldConfig {
    /// Whether a tail of `tokens` becomes a page; else it stays raw text for good (spec section 3).
    pub fn folds_tail(&self, tokens: usize) -> bool {
        tokens > self.visual_tokens
    }

    /// Character cells per line and lines per page.
    pub fn cell_grid(&self) -> (usize, usize) {
        (
            self.vision.image_width / self.page.cell_width,
            self.vision.image_height / self.page.cell_height,
        )
    }
}
