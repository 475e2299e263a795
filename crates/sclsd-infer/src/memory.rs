//! Checks that the memory suffices for a specification, before anything is allocated.
//!
//! The estimate is a lower bound: four numbers per weight (value, gradient and both moments), the walks, and the layers
//! of one batch. Sizes are computed in 128 bits, so that no setting overflows.

use sclsd_model::ode::Method;

use crate::spec::{TrainSpec, TrainSpecError};

/// Bytes per number.
const NUMBER: u128 = 4;

/// Checks the sizes of a run; pass one gene if the number of genes is not known yet.
///
/// # Errors
/// [`TrainSpecError::Memory`] names the setting that needs the most memory.
pub(crate) fn check(spec: &TrainSpec, n_genes: usize, available: Option<u64>) -> Result<(), TrainSpecError> {
    let free = available.map_or(isize::MAX as u128, u128::from);
    let (model, walks, dims) = (&spec.model, &spec.walks, &spec.model.layer_dims);
    let longest = |sizes: &[usize]| sizes.iter().copied().max().unwrap_or(0);
    let networks = [
        ("model.z_dim", model.z_dim),
        ("model.B_dim", model.b_dim),
        ("model.layer_dims.B_decoder", longest(&dims.b_decoder)),
        ("model.layer_dims.z_decoder", longest(&dims.z_decoder)),
        ("model.layer_dims.x_encoder", longest(&dims.x_encoder)),
        ("model.layer_dims.z_encoder", longest(dims.z_encoder.as_deref().unwrap_or_default())),
        ("model.layer_dims.xl_encoder", longest(dims.xl_encoder.as_deref().unwrap_or_default())),
        ("model.layer_dims.potential", longest(&dims.potential)),
    ];
    let wide = |n: usize| n as u128;
    let product = |factors: &[u128]| factors.iter().fold(1_u128, |product, &factor| product.saturating_mul(factor));
    let drawn = wide(walks.num_walks).saturating_add(wide(walks.held_out));
    let batch = walks.batch_size.min(walks.num_walks.max(walks.held_out));
    let needs = [
        ("the networks", product(&[model.weights(n_genes), 4, NUMBER]), &networks[..]),
        (
            "the walks",
            product(&[drawn, wide(walks.path_len), NUMBER]),
            &[
                ("walks.num_walks", walks.num_walks),
                ("walks.held_out", walks.held_out),
                ("walks.path_len", walks.path_len),
            ],
        ),
        (
            "a batch",
            product(&[wide(batch), wide(walks.path_len), model.units(1), NUMBER]),
            &[("walks.batch_size", batch), ("walks.path_len", walks.path_len)],
        ),
    ];
    // methods with fixed steps save all steps for the backward pass
    let steps = if matches!(spec.ode.method, Method::Rk4 | Method::Euler) { spec.ode.substeps } else { 0 };
    let flow = product(&[wide(batch), wide(walks.path_len), wide(steps), wide(model.z_dim), NUMBER]);
    let flow = ("the steps of the flow", flow, &[("ode.substeps", steps)][..]);
    for (what, bytes, settings) in needs.into_iter().chain([flow]) {
        if bytes > free {
            // the first of equal values
            let (field, value) = settings.iter().rev().copied().max_by_key(|(_, value)| *value).unwrap_or_default();
            return Err(TrainSpecError::Memory { field, value, what, needed: shown(bytes), free: shown(free) });
        }
    }
    Ok(())
}

/// Bytes with a unit, for people.
fn shown(bytes: u128) -> String {
    #[expect(clippy::cast_precision_loss, reason = "for a message")]
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            return format!("{value:.1} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} PiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(change: impl Fn(&mut TrainSpec)) -> String {
        let mut spec = TrainSpec::default();
        change(&mut spec);
        check(&spec, 1, Some(8 << 30)).unwrap_err().to_string()
    }

    #[test]
    fn sizes_that_no_memory_holds_are_errors_that_name_the_setting() {
        for far in [1_000_000_000, 1_000_000_000_000, usize::MAX / 2, usize::MAX] {
            let names = |field: &str, message: String| {
                assert!(
                    message.starts_with(&format!("{field} is {far}: ")) && message.ends_with("are free"),
                    "{message}"
                );
            };
            names("model.z_dim", message(|s| s.model.z_dim = far));
            names("model.B_dim", message(|s| s.model.b_dim = far));
            names("model.layer_dims.x_encoder", message(|s| s.model.layer_dims.x_encoder = vec![32, far]));
            names("model.layer_dims.potential", message(|s| s.model.layer_dims.potential = vec![far]));
            names("walks.num_walks", message(|s| s.walks.num_walks = far));
            names("walks.held_out", message(|s| s.walks.held_out = far));
            names("walks.path_len", message(|s| s.walks.path_len = far));
            names("ode.substeps", message(|s| (s.ode.method, s.ode.substeps) = (Method::Rk4, far)));
        }
    }

    #[test]
    fn a_batch_larger_than_all_walks_takes_what_the_walks_take() {
        let mut spec = TrainSpec::default();
        spec.walks.batch_size = usize::MAX;
        assert!(check(&spec, 2000, Some(8 << 30)).is_ok() && check(&spec, 2000, None).is_ok());
        spec.walks.num_walks = 50_000_000;
        spec.walks.path_len = 2;
        let message = check(&spec, 2000, Some(8 << 30)).unwrap_err().to_string();
        assert!(message.starts_with("walks.batch_size is 50000000: a batch would take "), "{message}");
    }

    #[test]
    fn genes_count_once_they_are_known() {
        let spec = TrainSpec::default();
        assert!(check(&spec, 20_000, Some(8 << 30)).is_ok());
        let message = check(&spec, 2_000_000, Some(8 << 30)).unwrap_err().to_string();
        assert!(message.starts_with("model.layer_dims.x_encoder is 512: the networks would take "), "{message}");
    }
}
