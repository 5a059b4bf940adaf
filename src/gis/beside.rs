//! What lies beside a raster of class values: names of the values as GDAL keeps them, a style for QGIS, a world file.

use super::ClassRaster;
use crate::config::classes::Color;
use crate::geom::GeoTransform;
use crate::raster::{SceneHeader, Ties};

/// GDAL lists names by value, from 0: above this the list would be longer than it is worth. The attribute table has them all the same.
const MOST_LISTED: u16 = 1023;

/// What GDAL calls an attribute's type and use.
const INTEGER: u8 = 0;
const TEXT: u8 = 2;
const COLUMNS: [(&str, u8, u8); 6] = [
    ("Value", INTEGER, 5),
    ("Class", TEXT, 2),
    ("Id", INTEGER, 0),
    ("Red", INTEGER, 6),
    ("Green", INTEGER, 7),
    ("Blue", INTEGER, 8),
];

/// A value that a mask may hold.
struct Entry<'a> {
    value: u16,
    name: &'a str,
    /// Its class's id, or -1.
    id: i16,
    color: Color,
}

/// The classes, then nodata, where there is such a value.
fn entries<'a>(raster: &ClassRaster<'a>) -> Vec<Entry<'a>> {
    let classes = raster.classes.classes().iter();
    let classes = classes.map(|c| Entry { value: c.value, name: &c.name, id: c.id.into(), color: c.color });
    let nodata = raster.classes.nodata().into_iter();
    let nodata = nodata.map(|n| Entry { value: n.value, name: "no data", id: -1, color: n.color });
    classes.chain(nodata).collect()
}

/// `.aux.xml`: category names and attribute table. `placed`: where the raster lies too, for formats that cannot say it.
pub(crate) fn attributes(raster: &ClassRaster<'_>, placed: bool) -> String {
    let mut text = String::from("<PAMDataset>\n");
    if placed {
        text += &place(raster.header);
    }
    text += "  <PAMRasterBand band=\"1\">\n";
    if let Some(nodata) = raster.classes.nodata().filter(|_| placed) {
        text += &format!("    <NoDataValue>{}</NoDataValue>\n", nodata.value);
    }
    text += &categories(raster);
    text += "    <GDALRasterAttributeTable tableType=\"thematic\">\n";
    for (idx, (name, kind, usage)) in COLUMNS.iter().enumerate() {
        text += &format!(
            "      <FieldDefn index=\"{idx}\"><Name>{name}</Name><Type>{kind}</Type><Usage>{usage}</Usage></FieldDefn>\n"
        );
    }
    for (idx, Entry { value, name, id, color: Color([r, g, b]) }) in entries(raster).iter().enumerate() {
        let name = escaped(name);
        text += &format!(
            "      <Row index=\"{idx}\"><F>{value}</F><F>{name}</F><F>{id}</F><F>{r}</F><F>{g}</F><F>{b}</F></Row>\n"
        );
    }
    text + "    </GDALRasterAttributeTable>\n  </PAMRasterBand>\n</PAMDataset>\n"
}

/// The names by value, unless the list would be too long.
pub(super) fn categories(raster: &ClassRaster<'_>) -> String {
    let (entries, max) = (entries(raster), raster.classes.max_value());
    if max > MOST_LISTED {
        return String::new();
    }
    let name = |value| entries.iter().find(|entry| entry.value == value).map_or("", |entry| entry.name);
    let lines = (0..=max).map(|value| format!("      <Category>{}</Category>\n", escaped(name(value))));
    format!("    <CategoryNames>\n{}    </CategoryNames>\n", lines.collect::<String>())
}

/// Where a raster lies, in GDAL's words.
pub(super) fn place(header: &SceneHeader) -> String {
    let mut text = String::new();
    let Ties { pixel_is_point, points, rpc } = header.ties.as_deref().cloned().unwrap_or_default();
    let crs = header.crs.as_deref().map(escaped).unwrap_or_default();
    if let Some(GeoTransform(transform)) = header.transform {
        if !crs.is_empty() {
            text += &format!("  <SRS>{crs}</SRS>\n");
        }
        let numbers = transform.map(|number| format!("{number:e}")).join(", ");
        text += &format!("  <GeoTransform>{numbers}</GeoTransform>\n");
    } else if !points.is_empty() {
        text += &format!("  <GCPList Projection=\"{crs}\">\n");
        for (idx, point) in points.iter().enumerate() {
            let ([pixel, line], [x, y, z]) = (point.pixel, point.ground);
            text += &format!(
                "    <GCP Id=\"{}\" Pixel=\"{pixel:e}\" Line=\"{line:e}\" X=\"{x:e}\" Y=\"{y:e}\" Z=\"{z:e}\" />\n",
                idx + 1
            );
        }
        text += "  </GCPList>\n";
    }
    if pixel_is_point {
        text += "  <Metadata>\n    <MDI key=\"AREA_OR_POINT\">Point</MDI>\n  </Metadata>\n";
    }
    if !rpc.is_empty() {
        text += "  <Metadata domain=\"RPC\">\n";
        for (name, value) in rpc {
            text += &format!("    <MDI key=\"{}\">{}</MDI>\n", escaped(&name), escaped(&value));
        }
        text += "  </Metadata>\n";
    }
    text
}

/// `.qml`: the classes with their names and colours as soon as QGIS opens the raster.
pub(crate) fn style(raster: &ClassRaster<'_>) -> String {
    let mut text = String::from(
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n<qgis version=\"3.22\" styleCategories=\"Symbology\">\n  <pipe>\n    \
         <rasterrenderer type=\"paletted\" band=\"1\" opacity=\"1\" alphaBand=\"-1\" nodataColor=\"\">\n      <rasterTransparency/>\n      \
         <colorPalette>\n",
    );
    let nodata = raster.classes.nodata().map(|nodata| nodata.value);
    for Entry { value, name, color, .. } in entries(raster) {
        let (name, color) = (escaped(name), String::from(color));
        let alpha = if Some(value) == nodata { 0 } else { 255 };
        text += &format!(
            "        <paletteEntry value=\"{value}\" label=\"{name}\" color=\"{color}\" alpha=\"{alpha}\"/>\n"
        );
    }
    text + "      </colorPalette>\n    </rasterrenderer>\n    <brightnesscontrast brightness=\"0\" contrast=\"0\"/>\n    \
            <huesaturation saturation=\"0\" grayscaleMode=\"0\" colorizeOn=\"0\"/>\n    \
            <rasterresampler maxOversampling=\"2\"/>\n  </pipe>\n  <blendMode>0</blendMode>\n</qgis>\n"
}

/// The same of shares of 0 to 1, from the first to the last of these colours.
pub(crate) fn share_style(colors: &[Color]) -> String {
    let last = colors.len().saturating_sub(1).max(1) as f64;
    let item = |(at, color): (usize, &Color)| {
        let (share, color) = (at as f64 / last, String::from(*color));
        format!("          <item value=\"{share}\" label=\"{share}\" color=\"{color}\" alpha=\"255\"/>\n")
    };
    let items: String = colors.iter().enumerate().map(item).collect();
    format!(
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n<qgis version=\"3.22\" styleCategories=\"Symbology\">\n  <pipe>\n    \
         <rasterrenderer type=\"singlebandpseudocolor\" band=\"1\" opacity=\"1\" alphaBand=\"-1\" classificationMin=\"0\" \
         classificationMax=\"1\" nodataColor=\"\">\n      <rasterTransparency/>\n      <rastershader>\n        \
         <colorrampshader colorRampType=\"INTERPOLATED\" classificationMode=\"1\" minimumValue=\"0\" maximumValue=\"1\" clip=\"0\">\n\
         {items}        </colorrampshader>\n      </rastershader>\n    </rasterrenderer>\n  </pipe>\n  \
         <blendMode>0</blendMode>\n</qgis>\n"
    )
}

/// The same for polygons with a field `value`.
#[cfg_attr(not(feature = "gdal"), expect(dead_code, reason = "polygons are written through GDAL"))]
pub(super) fn polygon_style(raster: &ClassRaster<'_>) -> String {
    let (mut categories, mut symbols) = (String::new(), String::new());
    for class in raster.classes.classes() {
        let (id, value, name, Color([r, g, b])) = (class.id, class.value, escaped(&class.name), class.color);
        categories += &format!(
            "      <category type=\"long\" value=\"{value}\" symbol=\"{id}\" label=\"{name}\" render=\"true\"/>\n"
        );
        symbols += &format!(
            "      <symbol type=\"fill\" name=\"{id}\" alpha=\"1\" clip_to_extent=\"1\" force_rhr=\"0\">\n        \
             <layer class=\"SimpleFill\" enabled=\"1\" locked=\"0\" pass=\"0\">\n          <Option type=\"Map\">\n            \
             <Option type=\"QString\" name=\"color\" value=\"{r},{g},{b},255\"/>\n            \
             <Option type=\"QString\" name=\"outline_style\" value=\"no\"/>\n            \
             <Option type=\"QString\" name=\"style\" value=\"solid\"/>\n          </Option>\n        </layer>\n      </symbol>\n"
        );
    }
    format!(
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n<qgis version=\"3.22\" styleCategories=\"Symbology\">\n  \
         <renderer-v2 type=\"categorizedSymbol\" attr=\"value\" symbollevels=\"0\" enableorderby=\"0\">\n    \
         <categories>\n{categories}    </categories>\n    <symbols>\n{symbols}    </symbols>\n  </renderer-v2>\n</qgis>\n"
    )
}

/// The six lines of a world file, which speak of the centre of the first pixel.
pub(crate) fn world_file(GeoTransform(t): GeoTransform) -> String {
    let lines = [t[1], t[4], t[2], t[5], t[0] + 0.5 * t[1] + 0.5 * t[2], t[3] + 0.5 * t[4] + 0.5 * t[5]];
    lines.iter().map(|number| format!("{number}\n")).collect()
}

/// Text as XML has it; characters that XML has no form for are left out.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().filter(|c| !c.is_control() || matches!(c, '\t' | '\n' | '\r')) {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\n' => out += "&#10;",
            '\r' => out += "&#13;",
            '\t' => out += "&#9;",
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MaskDepth;
    use crate::config::classes::{Class, ClassTable, Nodata};
    use crate::geom::Size;
    use crate::raster::MemoryRaster;

    #[test]
    fn names_may_hold_anything_and_lists_of_names_stay_short() {
        let class = |id: u8, name: &str, value| Class { id, name: name.into(), value, color: Color([id, 0, 255]) };
        let texts = |value| {
            let classes = vec![class(0, "a & b", 0), class(1, "<\"\u{0}\n>", value)];
            let classes = ClassTable::new(classes, Some(Nodata { value: 9, color: Color([1, 2, 3]) })).unwrap();
            let header = MemoryRaster::u8(Size::new(1, 1), 1, &[0]).header;
            let raster = ClassRaster { header: &header, classes: &classes, depth: MaskDepth::Sixteen };
            (attributes(&raster, true), style(&raster))
        };
        let (attributes, style) = texts(MOST_LISTED);
        assert_eq!(attributes.matches("<Category>").count(), usize::from(MOST_LISTED) + 1);
        assert!(attributes.contains("<Category>&lt;&quot;&#10;&gt;</Category>\n    </CategoryNames>"), "{attributes}");
        assert!(attributes.contains("<NoDataValue>9<") && attributes.contains("<Category>no data<"), "{attributes}");
        assert!(style.contains("value=\"0\" label=\"a &amp; b\" color=\"#0000ff\" alpha=\"255\""), "{style}");
        assert!(style.contains("value=\"9\" label=\"no data\" color=\"#010203\" alpha=\"0\""), "{style}");
        let (attributes, _) = texts(MOST_LISTED + 1);
        assert!(!attributes.contains("<Category>") && attributes.contains("<F>1024</F>"), "{attributes}");
    }
}
