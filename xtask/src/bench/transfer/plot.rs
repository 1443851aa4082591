//! The picture of the section: horizontal bars on logarithmic scales, as an SVG of nothing but rectangles and text.

use std::fmt::Write;

use super::results::Case;
use super::rounds::Stage;
use super::table::title;

const MIB: f64 = 1_048_576.0;
const BAR: f64 = 13.0;
const GAP: f64 = 26.0;
const NAMES: f64 = 120.0;
const WIDTH: f64 = 300.0;
/// Of the figure behind a bar.
const FIGURE: f64 = 80.0;
const TOP: f64 = 56.0;
/// Port's own bars, and the others.
const COLOURS: [&str; 2] = ["#c2410c", "#64748b"];

/// One of the two columns.
struct Column {
    title: &'static str,
    unit: &'static str,
    left: f64,
    /// The scale's ends, whole decades.
    least: f64,
    most: f64,
}

impl Column {
    fn new(title: &'static str, unit: &'static str, left: f64, values: &[f64]) -> Self {
        let positive = || values.iter().copied().filter(|value| *value > 0.0);
        let least = positive().fold(f64::INFINITY, f64::min).log10().floor();
        let most = positive().fold(0.0, f64::max).log10().ceil();
        Self { title, unit, left, least, most: most.max(least + 1.0) }
    }

    fn length(&self, value: f64) -> f64 {
        if value <= 0.0 {
            return 0.0;
        }
        ((value.log10() - self.least) / (self.most - self.least) * WIDTH).clamp(1.0, WIDTH)
    }

    fn bar(&self, text: &mut String, y: f64, value: f64, colour: &str) {
        let length = self.length(value);
        let left = self.left;
        let shown = significant(value);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "<rect x=\"{left:.0}\" y=\"{y:.0}\" width=\"{length:.1}\" height=\"{:.0}\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{:.0}\">{shown} {}</text>",
            BAR - 2.0,
            left + length + 4.0,
            y + BAR - 4.0,
            self.unit
        );
    }
}

/// Bytes and seconds of every stage and subject.
pub(super) fn draw(case: &Case) -> String {
    let rows: Vec<_> = case.rows.iter().filter(|row| !row.timed.is_empty()).collect();
    let values = |of: &dyn Fn(Stage, usize) -> f64| -> Vec<f64> {
        let places = Stage::ALL.into_iter().flat_map(|stage| (0..rows.len()).map(move |row| (stage, row)));
        places.map(|(stage, row)| of(stage, row)).collect()
    };
    let mebibytes = |stage, row: usize| rows.get(row).map_or(0.0, |row| row.wire(stage) as f64 / MIB);
    let seconds = |stage, row: usize| rows.get(row).map_or(0.0, |row| row.times(stage).median / 1000.0);
    let bytes = Column::new("bytes on the wire", "MiB", NAMES, &values(&mebibytes));
    let times = Column::new("time (median)", "s", NAMES + WIDTH + FIGURE, &values(&seconds));
    let (mut body, mut y) = (String::new(), TOP);
    for stage in Stage::ALL {
        let _ = writeln!(body, "<text x=\"8\" y=\"{y:.0}\" class=\"head\">{}</text>", title(stage));
        y += 8.0;
        for (index, row) in rows.iter().enumerate() {
            let colour = if index == 0 { COLOURS[0] } else { COLOURS[1] };
            let _ = writeln!(body, "<text x=\"16\" y=\"{:.0}\">{}</text>", y + BAR - 4.0, row.name);
            bytes.bar(&mut body, y, mebibytes(stage, index), colour);
            times.bar(&mut body, y, seconds(stage, index), colour);
            y += BAR;
        }
        y += GAP;
    }
    frame(&body, [&bytes, &times], y)
}

fn frame(body: &str, columns: [&Column; 2], height: f64) -> String {
    let width = NAMES + 2.0 * (WIDTH + FIGURE);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" \
         font-size=\"10\">\n<style>.head {{ font-weight: bold; font-size: 12px }}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for column in columns {
        let (left, title, unit) = (column.left, column.title, column.unit);
        let _ = writeln!(
            text,
            "<text x=\"{left:.0}\" y=\"16\" class=\"head\">{title}, {unit}, logarithmic</text>"
        );
        let decades = (column.most - column.least) as u32;
        for decade in 0..=decades {
            let x = left + WIDTH * f64::from(decade) / f64::from(decades);
            let value = 10_f64.powf(column.least + f64::from(decade));
            let _ = writeln!(
                text,
                "<rect x=\"{x:.1}\" y=\"34\" width=\"0.5\" height=\"{:.0}\" fill=\"#cbd5e1\"/>\
                 <text x=\"{x:.1}\" y=\"30\" text-anchor=\"middle\">{value}</text>",
                height - 44.0
            );
        }
    }
    text.push_str(body);
    text.push_str("</svg>\n");
    text
}

/// Three digits that count.
fn significant(value: f64) -> String {
    let digits = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else if value >= 1.0 {
        2
    } else {
        3
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::row;
    use super::*;

    #[test]
    fn every_stage_and_row_has_two_bars_on_scales_of_whole_decades() {
        let rows = vec![row("port", false, 10.0, 3 << 20), row("oras", true, 4000.0, 1000 << 20)];
        let case = Case { old_compressed: 1, new_compressed: 1, rows };
        let svg = draw(&case);
        assert_eq!(svg.matches(" MiB</text>").count(), 10);
        assert_eq!(svg.matches(" s</text>").count(), 10);
        assert_eq!(svg.matches(COLOURS[0]).count(), 10);
        assert!(svg.contains(">1000 MiB</text>") && svg.contains(">0.010 s</text>"), "{svg}");
        assert!(svg.ends_with("</svg>\n"));
    }

    #[test]
    fn a_bar_is_as_long_as_its_logarithm() {
        let column = Column::new("x", "y", 0.0, &[0.0, 1.0, 100.0]);
        assert_eq!((column.length(10.0), column.length(100.0), column.length(0.0)), (150.0, 300.0, 0.0));
    }
}
