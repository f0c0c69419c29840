//! The page and what it is made of, all embedded; nothing is asked of another server.

use hyper::body::Bytes;

/// A file of the page.
#[derive(Debug, Clone)]
pub struct Asset {
    /// Where it is.
    pub path: &'static str,
    /// Its media type.
    pub media: &'static str,
    /// Its bytes.
    pub body: Bytes,
    /// Names this very content, so that a browser need not fetch it again.
    pub etag: String,
}

/// What a browser may do with the page: run its own script, use its own style and typeface, and
/// talk to its own server.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; connect-src 'self'; \
     img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The files, with the title of the page put in.
pub fn assets(title: &str) -> Vec<Asset> {
    let index = include_str!("../assets/index.html").replace("{{title}}", &escape(title));
    let asset = |path, media, body: Bytes| {
        let etag = format!("\"{:016x}\"", fingerprint(&body));
        Asset {
            path,
            media,
            body,
            etag,
        }
    };
    let mut all = vec![asset("/", "text/html; charset=utf-8", index.into())];
    let (style, script) = ("text/css; charset=utf-8", "text/javascript; charset=utf-8");
    for (path, media, body) in [
        (
            "/style.css",
            style,
            &include_bytes!("../assets/style.css")[..],
        ),
        ("/parts.css", style, include_bytes!("../assets/parts.css")),
        ("/app.js", script, include_bytes!("../assets/app.js")),
        ("/cloud.js", script, include_bytes!("../assets/cloud.js")),
        (
            "/controls.js",
            script,
            include_bytes!("../assets/controls.js"),
        ),
        ("/feed.js", script, include_bytes!("../assets/feed.js")),
        ("/frames.js", script, include_bytes!("../assets/frames.js")),
        ("/list.js", script, include_bytes!("../assets/list.js")),
        ("/panel.js", script, include_bytes!("../assets/panel.js")),
        ("/save.js", script, include_bytes!("../assets/save.js")),
        (
            "/sprites.js",
            script,
            include_bytes!("../assets/sprites.js"),
        ),
        ("/theme.js", script, include_bytes!("../assets/theme.js")),
        ("/tools.js", script, include_bytes!("../assets/tools.js")),
        (
            "/icon.svg",
            "image/svg+xml",
            include_bytes!("../assets/icon.svg"),
        ),
        ("/font.ttf", "font/ttf", typeface::NOTO_SANS),
        ("/font-hebrew.ttf", "font/ttf", typeface::HEBREW),
        ("/font-arabic.ttf", "font/ttf", typeface::ARABIC),
        ("/font-devanagari.ttf", "font/ttf", typeface::DEVANAGARI),
        ("/font-thai.ttf", "font/ttf", typeface::THAI),
    ] {
        all.push(asset(path, media, Bytes::from_static(body)));
    }
    all
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// FNV-1a: tells versions apart, guards nothing.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |state, byte| {
        (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_cannot_become_markup() {
        let page = assets("<script>'&'</script>");
        let index = std::str::from_utf8(&page[0].body).unwrap();
        assert!(
            index.contains("<title>&lt;script&gt;&#39;&amp;&#39;&lt;/script&gt;</title>"),
            "{index}"
        );
        assert!(!index.contains("{{"));
    }

    #[test]
    fn the_page_asks_nothing_of_other_servers() {
        for asset in assets("x").iter().filter(|asset| asset.media != "font/ttf") {
            let text = std::str::from_utf8(&asset.body)
                .unwrap()
                .replace("http://www.w3.org/2000/svg", "");
            for sign in [
                "http://",
                "https://",
                "src=\"//",
                "url(//",
                "eval(",
                "innerHTML",
                "style=\"",
            ] {
                assert!(!text.contains(sign), "{} has {sign}", asset.path);
            }
        }
    }
}
