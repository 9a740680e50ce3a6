//! stub
pub mod aux_loss;
pub mod linear_ce;
pub mod optim;
pub mod step;
pub mod data {
    //! temporary
    #[derive(Debug, Clone, Default)]
    pub struct Sample { pub chunks: Vec<ChunkSample> }
    #[derive(Debug, Clone, Default)]
    pub struct ChunkSample { pub ids: Vec<u32>, pub pages: Vec<u8>, pub slots: usize, pub text: String, pub cells: Vec<u8>, pub patch_tokens: Vec<Vec<u32>> }
}
