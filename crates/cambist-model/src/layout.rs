//! Which tensors a decoder has, under which names, and where the forward pass finds them.

use crate::{
    config::DecoderConfig,
    family::{Block, HeadNorms, NormKind},
    head::Head,
};

/// Where a new tensor starts.
#[derive(Clone, Copy)]
pub(crate) enum Start {
    /// Zeros.
    Zero,
    /// Ones.
    One,
    /// Normal with deviation sqrt(2 / (5 width)).
    Inner,
    /// The same, divided by sqrt(2 layers): what a block adds to the residual stream.
    Residual,
}

/// A parameter before it has numbers: its parts with their rows, and its columns (none for a vector).
pub(crate) struct Plan {
    pub(crate) parts: Vec<(String, usize)>,
    pub(crate) columns: Option<usize>,
    pub(crate) start: Start,
}

impl Plan {
    /// Whether products read it, rather than that it is a gain or a bias.
    pub(crate) fn is_matrix(&self) -> bool {
        matches!(self.start, Start::Inner | Start::Residual)
    }

    pub(crate) fn shape(&self, rows: usize) -> Vec<usize> {
        self.columns.map_or_else(|| vec![rows], |columns| vec![rows, columns])
    }
}

/// Places of parameters in their list.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) embedding: usize,
    pub(crate) layers: Vec<LayerLayout>,
    pub(crate) norm: usize,
    /// The output layer or the reward's weight; none where the embedding is the output layer too.
    pub(crate) head: Option<usize>,
}

/// Places of one layer's parameters.
#[derive(Debug)]
pub(crate) struct LayerLayout {
    pub(crate) norm: usize,
    pub(crate) qkv: Projection,
    pub(crate) head_norm: Option<usize>,
    pub(crate) output: Projection,
    pub(crate) attention_norm: Option<usize>,
    /// None where the feed-forward block reads what attention reads.
    pub(crate) mlp_norm: Option<usize>,
    pub(crate) gate_up: Projection,
    pub(crate) down: Projection,
    pub(crate) down_norm: Option<usize>,
}

/// Places of a weight and of what is added to its product.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Projection {
    pub(crate) weight: usize,
    pub(crate) bias: Option<usize>,
}

/// Returns all parameters in their order, and where they are.
///
/// In Llama: embedding, six a layer (norm, qkv, output, norm, gate-up, down), norm, head.
pub(crate) fn plan(config: &DecoderConfig) -> (Vec<Plan>, Layout) {
    let mut planner = Planner { config, plans: vec![] };
    let hidden = config.shape.hidden_size;
    let embedding = planner.table("model.embed_tokens.weight", config.vocab_size);
    let layers = (0..config.shape.n_layers).map(|layer| planner.layer(&format!("model.layers.{layer}"))).collect();
    let norm = planner.gain(vec![("model.norm.weight".to_owned(), hidden)]);
    let head = match config.head {
        Head::Reward => Some(planner.table("score.weight", 1)),
        Head::Language => (!config.shape.tie_embeddings).then(|| planner.table("lm_head.weight", config.vocab_size)),
    };
    (planner.plans, Layout { embedding, layers, norm, head })
}

struct Planner<'a> {
    config: &'a DecoderConfig,
    plans: Vec<Plan>,
}

impl Planner<'_> {
    fn add(&mut self, parts: Vec<(String, usize)>, columns: Option<usize>, start: Start) -> usize {
        self.plans.push(Plan { parts, columns, start });
        self.plans.len() - 1
    }

    fn table(&mut self, name: &str, rows: usize) -> usize {
        self.add(vec![(name.to_owned(), rows)], Some(self.config.shape.hidden_size), Start::Inner)
    }

    fn gain(&mut self, parts: Vec<(String, usize)>) -> usize {
        let from_one = self.config.family.norm == NormKind::RmsFromOne;
        self.add(parts, None, if from_one { Start::Zero } else { Start::One })
    }

    fn layer(&mut self, layer: &str) -> LayerLayout {
        let (family, shape) = (self.config.family, &self.config.shape);
        let (q, kv) = (shape.n_heads * self.config.head_dim, shape.n_kv_heads * self.config.head_dim);
        let (hidden, inner) = (shape.hidden_size, shape.intermediate_size);
        let qkv = match family.fused {
            true => vec![("qkv_proj", q + 2 * kv)],
            false => vec![("q_proj", q), ("k_proj", kv), ("v_proj", kv)],
        };
        let gate_up = match family.fused {
            true => vec![("gate_up_proj", 2 * inner)],
            false => vec![("gate_proj", inner), ("up_proj", inner)],
        };
        let (attention, mlp) = (format!("{layer}.self_attn"), format!("{layer}.mlp"));
        let gain = |planner: &mut Self, name: &str| planner.gain(vec![(format!("{layer}.{name}.weight"), hidden)]);
        let biases = self.config.biases;
        let around = family.block == Block::Around;
        LayerLayout {
            norm: gain(self, "input_layernorm"),
            qkv: self.projection((&attention, &qkv), (hidden, biases.qkv), Start::Inner),
            head_norm: self.head_norm(&attention),
            output: self.projection((&attention, &[("o_proj", hidden)]), (q, biases.output), Start::Residual),
            attention_norm: around.then(|| gain(self, "post_attention_layernorm")),
            mlp_norm: match family.block {
                Block::Before => Some(gain(self, "post_attention_layernorm")),
                Block::Around => Some(gain(self, "pre_feedforward_layernorm")),
                Block::Parallel => None,
            },
            gate_up: self.projection((&mlp, &gate_up), (hidden, biases.mlp), Start::Inner),
            down: self.projection((&mlp, &[("down_proj", hidden)]), (inner, biases.mlp), Start::Residual),
            down_norm: around.then(|| gain(self, "post_feedforward_layernorm")),
        }
    }

    fn projection(
        &mut self,
        (module, parts): (&str, &[(&str, usize)]),
        (columns, bias): (usize, bool),
        start: Start,
    ) -> Projection {
        let named = |what: &str| parts.iter().map(|(part, rows)| (format!("{module}.{part}.{what}"), *rows)).collect();
        let weight = self.add(named("weight"), Some(columns), start);
        Projection { weight, bias: bias.then(|| self.add(named("bias"), None, Start::Zero)) }
    }

    fn head_norm(&mut self, attention: &str) -> Option<usize> {
        let names = ["q_norm", "k_norm"].map(|norm| format!("{attention}.{norm}.weight"));
        let (n_heads, n_kv_heads) = (self.config.shape.n_heads, self.config.shape.n_kv_heads);
        let head_dim = self.config.head_dim;
        match self.config.family.head_norm {
            HeadNorms::Shared => Some(self.gain(names.map(|name| (name, head_dim)).to_vec())),
            HeadNorms::Own if self.config.normalises_heads => {
                let parts = names.into_iter().zip([n_heads, n_kv_heads]).collect();
                Some(self.add(parts, Some(head_dim), Start::One))
            }
            _ => None,
        }
    }
}
