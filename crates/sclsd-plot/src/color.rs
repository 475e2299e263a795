//! Colours of groups, and color maps for numbers.

mod names;

use kuva::render::color::Color;
use sclsd_data::Categorical;

/// Red, green, blue.
pub(crate) type Rgb = [u8; 3];

/// Colour of text and lines.
pub(crate) const INK: Rgb = [34, 34, 34];
/// Colour of cells without a value.
pub(crate) const MISSING: Rgb = [211, 211, 211];

/// Colour of a probability of 0, and the start of every [`ColorMap::Toward`].
pub(crate) const NOTHING: Rgb = [224, 224, 224];

/// Eight colours that can be distinguished with any kind of colour vision (Okabe and Ito, 2008), with yellow last.
const FEW: [Rgb; 8] = [
    [0, 114, 178],
    [230, 159, 0],
    [0, 158, 115],
    [204, 121, 167],
    [213, 94, 0],
    [86, 180, 233],
    [0, 0, 0],
    [240, 228, 66],
];

/// A color map on 0…1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColorMap {
    /// Dark blue to yellow, perceptually uniform with any kind of colour vision.
    Viridis,
    /// Dark violet to yellow, for a second quantity beside the first.
    Plasma,
    /// Blue through white to red, for signed values.
    Diverging,
    /// Light grey to the given colour, for the probability of a fate with that colour.
    Toward([u8; 3]),
}

impl ColorMap {
    /// The colour at position `share`, which is clamped to 0…1.
    pub(crate) fn at(self, share: f64) -> Rgb {
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { return MISSING };
        let scale = match self {
            Self::Viridis => colorous::VIRIDIS,
            Self::Plasma => colorous::PLASMA,
            Self::Diverging => return diverging(share),
            Self::Toward(color) => return mix(NOTHING, color, share),
        };
        let color = scale.eval_continuous(share);
        [color.r, color.g, color.b]
    }
}

fn diverging(share: f64) -> Rgb {
    let color = colorous::RED_BLUE.eval_continuous(1.0 - share);
    [color.r, color.g, color.b]
}

/// One colour per category, as in scanpy. If the file has a valid colour for every category, its colours are used and
/// extra ones are ignored. Otherwise all categories get the default colours.
#[must_use]
pub fn group_colors(groups: &Categorical) -> Vec<[u8; 3]> {
    let n = groups.categories().len();
    let given: Option<Vec<Rgb>> = groups.colors().iter().take(n).map(|text| parse(text)).collect();
    given.filter(|given| given.len() == n).unwrap_or_else(|| palette(n))
}

/// `n` distinct colours: eight that can be distinguished with any colour vision, or alternating hues and lightnesses
/// for more.
#[must_use]
pub fn palette(n: usize) -> Vec<[u8; 3]> {
    if n <= FEW.len() {
        return FEW[..n].to_vec();
    }
    (0..n)
        .map(|i| {
            #[expect(clippy::cast_precision_loss, reason = "numbers of groups are small")]
            let hue = 360.0 * (i as f64 * 0.618_033_988_75).fract();
            hsl(hue, 0.65, [0.42, 0.62, 0.30][i % 3])
        })
        .collect()
}

fn hsl(hue: f64, saturation: f64, lightness: f64) -> Rgb {
    let chroma = saturation * lightness.min(1.0 - lightness);
    let part = |n: f64| {
        let k = (n + hue / 30.0) % 12.0;
        byte(lightness - chroma * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0))
    };
    [part(0.0), part(8.0), part(4.0)]
}

/// Parses a colour in any of matplotlib's formats: `#rrggbb`, `#rrggbbaa`, `#rgb`, `#rgba`, a name, or a grey level
/// from `0` to `1`.
fn parse(text: &str) -> Option<Rgb> {
    let text = text.trim();
    if let Some(digits) = text.strip_prefix('#') {
        return hexadecimal(digits);
    }
    names::named(text).or_else(|| {
        let grey: f64 = text.parse().ok()?;
        (0.0..=1.0).contains(&grey).then(|| [byte(grey); 3])
    })
}

/// Parses one or two hexadecimal digits each for red, green, blue and an opacity, which is ignored.
fn hexadecimal(digits: &str) -> Option<Rgb> {
    let values: Vec<u8> = digits.chars().map(|c| c.to_digit(16)?.try_into().ok()).collect::<Option<_>>()?;
    match values[..] {
        [r, g, b] | [r, g, b, _] => Some([r, g, b].map(|v| 17 * v)),
        [r, s, g, h, b, c] | [r, s, g, h, b, c, _, _] => Some([16 * r + s, 16 * g + h, 16 * b + c]),
        _ => None,
    }
}

/// Mixes a colour with a fraction `share` of another colour.
pub(crate) fn mix(color: Rgb, with: Rgb, share: f64) -> Rgb {
    std::array::from_fn(|i| byte((f64::from(color[i]) * (1.0 - share) + f64::from(with[i]) * share) / 255.0))
}

/// A paler version of a colour, so that lines drawn on top stand out.
pub(crate) fn pale(color: Rgb) -> Rgb {
    mix(color, [255; 3], 0.55)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "held within 0…255")]
fn byte(share: f64) -> u8 {
    (share * 255.0).round().clamp(0.0, 255.0) as u8
}

/// The colour as `#rrggbb`.
pub(crate) fn hex([r, g, b]: Rgb) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

pub(crate) fn paint([r, g, b]: Rgb) -> Color {
    Color::Rgb(r, g, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(names: &[&str], colors: &[&str]) -> Categorical {
        Categorical::from_names(names.iter().copied()).with_colors(colors.iter().map(|&c| c.to_owned()).collect())
    }

    #[test]
    fn the_files_own_colours_are_used_where_there_is_one_for_every_group() {
        assert_eq!(group_colors(&groups(&["a", "b"], &["#102030", "#405060ff"])), vec![[16, 32, 48], [64, 80, 96]]);
        assert_eq!(group_colors(&groups(&["a", "b"], &["#102030"])), FEW[..2].to_vec());
        assert_eq!(group_colors(&groups(&["a", "b"], &["#102030", "no such colour"])), FEW[..2].to_vec());
        let more = groups(&["a", "b"], &["#102030", "#405060", "no such colour"]);
        assert_eq!(group_colors(&more), vec![[16, 32, 48], [64, 80, 96]]);
    }

    #[test]
    fn colours_are_read_as_matplotlib_reads_them() {
        for (text, color) in [
            ("red", Some([255, 0, 0])),
            ("tab:orange", Some([255, 127, 14])),
            ("k", Some([0, 0, 0])),
            ("C0", Some([31, 119, 180])),
            ("#abc", Some([170, 187, 204])),
            ("#abcd", Some([170, 187, 204])),
            ("0.5", Some([128, 128, 128])),
            ("#12345", None),
            ("#ééé", None),
            ("2", None),
            ("", None),
        ] {
            assert_eq!(parse(text), color, "{text}");
        }
    }

    #[test]
    fn any_number_of_groups_has_colours_that_differ() {
        for n in [1, 8, 9, 40] {
            let mut colors = palette(n);
            colors.sort_unstable();
            colors.dedup();
            assert_eq!(colors.len(), n);
        }
    }

    #[test]
    fn a_range_runs_from_end_to_end_and_a_number_that_is_none_is_grey() {
        assert_eq!(ColorMap::Viridis.at(0.0), [68, 1, 84]);
        assert_eq!(ColorMap::Viridis.at(7.0), ColorMap::Viridis.at(1.0));
        assert_eq!(ColorMap::Viridis.at(f64::NAN), MISSING);
        let [r, _, b] = ColorMap::Diverging.at(0.0);
        assert!(b > r, "what is below nothing is blue");
        assert_eq!([0.0, 1.0].map(|share| ColorMap::Toward([9, 8, 7]).at(share)), [NOTHING, [9, 8, 7]]);
    }
}
