//! Times every stage on a prepared file and prints one JSON object with the same names as the Python package's timing
//! script: seconds per stage, number of steps, seconds per training step, peak resident memory (MiB).

use std::path::PathBuf;
use std::time::Instant;

use clap::Parser;
use sclsd::Device;
use sclsd::analysis::{HardFateSpec, PerturbSpec, annotate, hard_fates, perturb};
use sclsd::data::{Keys, read_h5ad};
use sclsd::graph::Transition;
use sclsd::infer::{TrainSpec, Trainer, TrainingData};
use sclsd::model::SimdLevel;
use serde_json::{Map, Value, json};

/// Times the stages on a prepared file.
#[derive(Parser)]
struct Args {
    file: PathBuf,
    #[arg(long, default_value_t = 1)]
    epochs: usize,
    #[arg(long, default_value_t = 10)]
    path_len: usize,
    #[arg(long, default_value_t = 4096)]
    walks: usize,
    #[arg(long, default_value_t = 256)]
    batch: usize,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    #[arg(long, default_value = "dpt_pseudotime")]
    time_key: String,
    #[arg(long, default_value_t = 42)]
    seed: u64,
    #[arg(long, default_value = "prior,walks,train,result,fates")]
    stages: String,
    #[arg(long)]
    gene: Option<String>,
    #[arg(long, default_value_t = 15.0)]
    fate_time: f64,
    #[arg(long, default_value = "cpu")]
    device: String,
    /// SIMD instructions to use. Default: the best on this machine.
    #[arg(long)]
    simd: Option<SimdLevel>,
    /// Scale the prior time to 0…1 first.
    #[arg(long)]
    scale_time: bool,
}

/// Results by name.
struct Record {
    stages: Vec<String>,
    figures: Map<String, Value>,
}

impl Record {
    fn timed<T>(&mut self, name: &str, f: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let result = f();
        self.figures.insert(format!("{name}_s"), json!(began.elapsed().as_secs_f64()));
        self.figures.insert(format!("{name}_peak_mib"), json!(peak_mib()));
        result
    }

    fn wants(&self, stage: &str) -> bool {
        self.stages.iter().any(|wanted| wanted == stage)
    }
}

/// Peak resident memory of this process so far, if the system reports it.
fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    if let Some(level) = args.simd {
        level.force()?;
    }
    sclsd_cli::keep_memory();
    rayon::ThreadPoolBuilder::new().num_threads(args.threads).use_current_thread().build_global()?;
    let mut record = Record { stages: args.stages.split(',').map(str::to_owned).collect(), figures: Map::new() };
    let mut spec = TrainSpec { num_epochs: args.epochs, random_state: args.seed, ..TrainSpec::default() };
    spec.walks.path_len = args.path_len;
    spec.walks.num_walks = args.walks;
    spec.walks.batch_size = args.batch;
    spec.walks.random_state = args.seed;

    let keys = Keys {
        x: true,
        layers: vec![spec.keys.counts.clone()],
        obs: vec![spec.keys.library_size.clone(), args.time_key.clone()],
        obsp: vec![spec.keys.connectivities.clone()],
        ..Keys::none()
    };
    let data = read_h5ad(&args.file, &keys)?;
    record.figures.insert("cells".into(), json!(data.n_cells()));
    record.figures.insert("genes".into(), json!(data.n_genes()));
    let device: Device = args.device.parse()?;
    let graph = data.graph(&spec.keys.connectivities)?;
    let mut time = data.numbers(&args.time_key)?;
    if args.scale_time {
        time = sclsd::graph::scale_time(&time);
    }
    let prior = record.timed("prior", || Transition::from_pseudotime(graph, &time, spec.prior.beta))?;
    let walk_spec = spec.walks.clone().check()?;
    let walks = record.timed("walks", || prior.walks(&walk_spec));
    let peak = record.wants("peak").then(|| peak(args.threads));
    if !["train", "result", "fates", "perturb"].iter().any(|stage| record.wants(stage)) {
        return print(record);
    }
    let spec = spec.check()?;
    let training = TrainingData::new(&data, &spec.get().keys)?;
    let trainer = Trainer::new(spec.clone()).device(device);
    let fit = record.timed("train", || trainer.fit(&training, &walks))?;
    let steps = args.epochs * args.walks.div_ceil(args.batch);
    #[expect(clippy::cast_precision_loss, reason = "steps are few")]
    let step = record.figures["train_s"].as_f64().unwrap_or(f64::NAN) / steps as f64;
    record.figures.insert("steps".into(), json!(steps));
    record.figures.insert("step_s".into(), json!(step));
    if let Some(peak) = peak {
        let floor = floor(args.batch.min(args.walks) * args.path_len, data.n_genes()) / peak;
        record.figures.insert("peak_gflops".into(), json!(peak * 1e-9));
        record.figures.insert("floor_s".into(), json!(floor));
        record.figures.insert("step_per_floor".into(), json!(step / floor));
    }
    record.figures.insert("last_loss".into(), json!(fit.history.last().map(|epoch| epoch.loss.total())));
    if ["result", "fates", "perturb"].iter().any(|stage| record.wants(stage)) {
        let graph = &spec.get().keys.connectivities;
        let result = record.timed("result", || annotate(&fit.model, &data, graph))?;
        if record.wants("fates") {
            let spec = HardFateSpec { time_range: args.fate_time, ..HardFateSpec::default() };
            record.timed("fates", || hard_fates(&fit.model, &result.cell_state, &spec))?;
        }
        if record.wants("perturb") {
            let gene = args.gene.unwrap_or_else(|| data.var.names[0].clone());
            let spec = PerturbSpec { genes: vec![gene], ..PerturbSpec::default() };
            record.timed("perturb", || perturb(&fit.model, &data, None, &spec))?;
        }
    }
    print(record)
}

/// Minimum number of `f32` operations per step: forward and backward pass through the last layer of the decoder and the
/// widest layer of the encoder of z.
#[expect(clippy::cast_precision_loss, reason = "sizes")]
fn floor(visits: usize, genes: usize) -> f64 {
    3.0 * 2.0 * visits as f64 * (256.0 * 2.0 * genes as f64 + 512.0 * 256.0)
}

/// Operations per second of faer's product of 2048 × 2048 matrices in `f32` on all threads, best of several runs. Uses
/// the SIMD instructions that the kernels use, if faer supports them.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "faer itself takes the best instructions there are; the crate beneath it can be told")]
fn peak(threads: usize) -> f64 {
    use private_gemm_x86::{Accum, DType, DstKind, IType, InstrSet, gemm};
    use std::ptr::{from_ref, null};
    const N: usize = 2048;
    let set = if SimdLevel::used() >= SimdLevel::Avx512 { InstrSet::Avx512 } else { InstrSet::Avx256 };
    let (a, b, mut c) = (vec![1.0_f32; N * N], vec![1.0_f32; N * N], vec![0.0_f32; N * N]);
    let (alpha, by, kind) = (1.0_f32, N.cast_signed(), DstKind::Full);
    best(N, || {
        let (out, a, b) = (c.as_mut_ptr().cast(), a.as_ptr().cast(), b.as_ptr().cast());
        let (index, set, diagonal) = (null(), set, null());
        // SAFETY: all three matrices are N × N in column-major order, and no submatrix or diagonal is selected
        unsafe {
            gemm(
                DType::F32,
                IType::U64,
                set,
                N,
                N,
                N,
                out,
                1,
                by,
                index,
                index,
                kind,
                Accum::Replace,
                a,
                1,
                by,
                false,
                diagonal,
                0,
                b,
                1,
                by,
                false,
                from_ref(&alpha).cast(),
                threads,
            );
        }
    })
}

/// The same, with the SIMD instructions that faer chooses.
#[cfg(not(target_arch = "x86_64"))]
fn peak(_: usize) -> f64 {
    use faer::linalg::matmul::matmul;
    const N: usize = 2048;
    let (a, b) = (faer::Mat::<f32>::ones(N, N), faer::Mat::<f32>::ones(N, N));
    let mut c = faer::Mat::<f32>::zeros(N, N);
    best(N, || matmul(&mut c, faer::Accum::Replace, &a, &b, 1.0, faer::Par::rayon(0)))
}

/// Operations per second of a product of two `n × n` matrices.
#[expect(clippy::cast_precision_loss, reason = "a size")]
fn best(n: usize, mut product: impl FnMut()) -> f64 {
    let seconds = (0..8).map(|_| {
        let began = Instant::now();
        product();
        began.elapsed().as_secs_f64()
    });
    2.0 * (n as f64).powi(3) / seconds.fold(f64::INFINITY, f64::min)
}

#[expect(clippy::print_stdout, reason = "a program")]
fn print(mut record: Record) -> Result<(), Box<dyn std::error::Error>> {
    record.figures.insert("peak_mib".into(), json!(peak_mib()));
    println!("{}", serde_json::to_string(&record.figures)?);
    Ok(())
}
