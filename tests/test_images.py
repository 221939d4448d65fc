"""Images from anywhere: what is accepted comes out as upright RGB, everything else as one line with a remedy."""

import io
import os
import struct
import zlib
from http.client import HTTPResponse
from pathlib import Path

import numpy as np
import pytest
from calling import python
from drawing import draw_lesion
from PIL import Image, PngImagePlugin

from skinvision_hf.data.images import FORMATS, MAX_PIXELS, MIN_SIDE, open_image, printable
from skinvision_hf.errors import ImageError

PIXELS = np.asarray(draw_lesion())


def encode(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def message(source: object, **options: object) -> str:
    with pytest.raises(ImageError) as caught:
        open_image(source, **options)
    text = str(caught.value)
    assert "\n" not in text
    return text


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return content + struct.pack(">I", 100) + b"IDAT"


@pytest.mark.parametrize("kind", ["path", "string", "bytes", "bytearray", "file", "stream", "pil", "array", "floats"])
def test_every_kind_of_source_gives_the_same_pixels(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "lesion.png"
    content = encode(draw_lesion())
    path.write_bytes(content)

    class Stream:
        """Can be read and not rewound, like the answer of a web server."""

        def read(self) -> bytes:
            return content

    with path.open("rb") as file:
        source = {
            "path": path,
            "string": str(path),
            "bytes": content,
            "bytearray": bytearray(content),
            "file": file,
            "stream": Stream(),
            "pil": draw_lesion(),
            "array": PIXELS,
            "floats": PIXELS / np.float32(255),
        }[kind]
        image = open_image(source)
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), PIXELS)


@pytest.mark.parametrize("format", FORMATS)
def test_every_listed_format_can_be_read(format: str) -> None:
    image = open_image(encode(draw_lesion(), format))
    difference = np.abs(np.asarray(image).astype(int) - PIXELS)
    # GIF has 256 colours and JPEG, WebP and JPEG 2000 lose some detail; the picture is the same.
    assert image.size == (200, 150)
    assert difference.mean() < 6


# How the pixels of an upright image are stored under the EXIF orientations 2 to 8.
STORED = ("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_90", "TRANSVERSE", "ROTATE_270")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF", "xmp"])
def test_an_orientation_is_applied_once_however_often_an_image_is_opened(format: str, orientation: int) -> None:
    if format == "HEIF":
        pytest.importorskip("pillow_heif")
    xmp = f'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{orientation}"/>'
    for mode in ("L", "LA", "RGBA", "RGB", "CMYK", *(["P", "I;16"] if format in ("PNG", "TIFF", "xmp") else [])):
        upright = draw_lesion(size=(64, 48)).convert("L" if mode == "I;16" else mode)
        if mode == "I;16":
            upright = Image.fromarray(np.asarray(upright).astype(np.uint16) * 257)
        stored = upright.transpose(Image.Transpose[STORED[orientation - 2]]) if orientation > 1 else upright
        exif = Image.Exif()  # one for each image, since writing an AVIF takes its orientation out
        exif[0x0112] = orientation
        stored.info["exif"] = exif.tobytes()  # pillow-heif reads it here
        try:
            options = {} if format == "HEIF" else {"exif": exif}
            content = encode(stored, "PNG" if format == "xmp" else format, **options)
        except (OSError, ValueError):  # a mode that the format does not have
            continue
        if format == "xmp":
            info = PngImagePlugin.PngInfo()
            info.add_itxt("XML:com.adobe.xmp", xmp)
            stored.info = {}
            content = encode(stored, "PNG", pnginfo=info)
        expected = np.asarray(open_image(upright)).astype(int)
        for source in (content, Image.open(io.BytesIO(content)), {"bytes": content, "path": None}):
            image = open_image(source)
            assert np.abs(np.asarray(image) - expected).mean() < 6, mode
            assert image.getexif().get(0x0112, 1) == 1 and image.size == upright.size
            again = open_image(open_image(image))
            assert np.array_equal(np.asarray(again), np.asarray(image))


@pytest.mark.parametrize("late", [False, True], ids=["before the pixels", "after the pixels"])
@pytest.mark.parametrize(("kind", "head"), [(b"zTXt", b"k\0\0"), (b"iTXt", b"k\0\1\0\0\0"), (b"iCCP", b"k\0\0")])
def test_long_metadata_do_not_spoil_a_png(kind: bytes, head: bytes, late: bool, tmp_path: Path) -> None:
    data = head + zlib.compress(b"a" * 2_000_000)
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    content = encode(draw_lesion())
    at = len(content) - 12 if late and kind != b"iCCP" else 33
    path = tmp_path / "a.png"
    path.write_bytes(content[:at] + chunk + content[at:])
    assert np.array_equal(np.asarray(open_image(path)), PIXELS)
    assert "damaged" in message(path.read_bytes()[: -len(content) // 2] if not late else content[:-200])


def test_a_photograph_of_a_phone_without_its_decoder_names_the_extra() -> None:
    header = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"heic", 0, b"mif1", b"heic")
    code = "import sys; sys.modules['pillow_heif'] = None\nfrom skinvision_hf.data.images import open_image\n"
    code += f"try: open_image({header!r} + bytes(99))\nexcept Exception as error: print(error)"
    printed = python("-c", code, check=True).stdout
    assert "install pillow-heif (pip install 'skinvision-hf[heic]'), or save it as JPEG" in printed


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_an_unreadable_exif_block_does_not_spoil_the_picture() -> None:
    image = open_image(encode(draw_lesion(), "PNG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff"))
    assert np.array_equal(np.asarray(image), PIXELS)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "RGBa", "La"])
def test_transparency_is_laid_over_white(mode: str) -> None:
    image = Image.new("RGBA", (64, 48), (0, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 32, 48))
    image.putpixel((40, 10), (0, 0, 0, 128))
    pixels = np.asarray(open_image(image.convert("LA").convert(mode) if mode == "La" else image.convert(mode)))
    assert (pixels[:, :32] == 255).all()
    assert (pixels[:, 41:] == 0).all()
    assert pixels[10, 40].tolist() == [127, 127, 127]
    # So are a transparent colour of a palette and the fourth channel of an array.
    palette = image.getchannel("A").point(lambda value: 255 - value).convert("P")
    for source in (encode(palette, "PNG", transparency=255), np.asarray(image) / 255):
        pixels = np.asarray(open_image(source))
        assert (pixels[:, :32] == 255).all() and (pixels[:, 41:] == 0).all()


def test_greyscale_of_any_depth_keeps_its_brightness() -> None:
    ramp = np.linspace(0, 255, 64 * 48).round().reshape(48, 64)
    deep = Image.fromarray((ramp * 257).astype(np.uint16))
    scaled = ((257, np.int32), (1, np.int32), (1, np.float32), (1 / 255, np.float32))
    images = [Image.fromarray((ramp * scale).astype(kind)) for scale, kind in scaled]
    arrays = (ramp.astype(np.uint8), ramp[:, :, None] / 255)
    for number, source in enumerate([deep, encode(deep), encode(deep, "TIFF"), *images, *arrays]):
        assert np.array_equal(np.asarray(open_image(source)), np.repeat(ramp[:, :, None], 3, axis=2)), number


def tiff(bits: int, values: np.ndarray, tags: dict[int, int]) -> bytes:
    """A greyscale TIFF of 12 bits, packed, or of 16."""
    data = values.astype("<u2").tobytes()
    if bits == 12:
        first, second = values.reshape(-1, 2).T
        data = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=1).astype(np.uint8).tobytes()
    height, width = values.shape
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 273: 0, 277: 1, 278: height, 279: len(data)} | tags
    tags[273] = 14 + 12 * len(tags)  # where the pixels begin
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data


def test_the_tags_of_a_tiff_tell_the_range_of_its_values() -> None:
    ramp = np.linspace(0, 255, 64 * 48).round().astype(int).reshape(48, 64)
    few = ramp * 4095 // 255
    for content in (
        tiff(12, few, {}),
        tiff(16, few, {281: 4095}),
        tiff(16, few, {341: 4000}),
        tiff(16, few.max() - few, {281: 4095, 262: 0}),  # white is zero
        tiff(16, ramp * 257, {281: 4095}),  # which is wrong
    ):
        grey = np.asarray(open_image(content))[..., 0].astype(int)
        assert np.abs(grey - ramp).max() <= 1
    untold = few.astype(np.uint16)
    for source in (tiff(16, few, {}), encode(Image.fromarray(untold)), Image.fromarray(untold.astype(np.int32))):
        assert "holds values up to 4095 of 65535, almost black; scale them to 0..255" in message(source)
    assert not np.asarray(open_image(Image.fromarray(untold * 0))).any(), "black is black"


def test_of_an_animation_the_first_frame_is_used_and_a_pil_image_is_left_as_it_was() -> None:
    first, second = Image.new("RGB", (64, 48), "red"), Image.new("RGB", (64, 48), "blue")
    content = encode(first, "GIF", save_all=True, append_images=[second])
    assert (np.asarray(open_image(content)) == [255, 0, 0]).all()
    source = Image.open(io.BytesIO(encode(draw_lesion().convert("RGBA"))))
    open_image(source)
    assert source.mode == "RGBA" and source.getpixel((0, 0))[:3] == tuple(PIXELS[0, 0])


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("missing.jpg", None, "{path} does not exist; check the path"),
        ("empty.jpg", b"", "{path} is empty; download or export it again"),
        ("text.jpg", b"Dear doctor,\n" * 50, "{path} cannot be read as an image; save it as JPEG or PNG"),
        ("runs.eps", encode(draw_lesion(), "EPS"), "{path} cannot be read as an image; save it as JPEG or PNG"),
        ("bomb.png", png_header(60_000, 60_000), "{path} has more than 50 megapixels; crop it to the lesion"),
        ("one.png", encode(Image.new("RGB", (1, 1))), "{path} is only 1 x 1 pixels; give an image with sides of at le"),
    ],
    ids=["missing", "empty", "text", "a program", "bomb", "1x1"],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bad_file_is_named_with_its_remedy(name: str, content: bytes | None, expected: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert message(path).startswith(expected.format(path=path))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
def test_a_truncated_file_is_refused(format: str) -> None:
    content = encode(draw_lesion(), format, progressive=True)  # what a JPEG may be
    for share in (0.3, 0.6, 0.9):
        text = message(content[: int(share * len(content))], name="upload")
        assert text == "upload is damaged or incomplete; download or export it again"


def test_a_folder_a_web_address_and_an_empty_path_are_refused(tmp_path: Path) -> None:
    assert message(tmp_path) == f"{tmp_path} is a folder; name the image files in it"
    assert "download the image and give the file" in message("https://example.org/lesion.jpg")
    assert message("") == "the path is empty; name an image file"
    assert "does not exist" in message("a\0b.jpg")
    assert "cannot be opened (File name too long)" in message("a" * 5000)

    assert printable("a\nb\x1b[2J\udcff.jpg") == "a?b?[2J?.jpg"
    assert message("a\nb.jpg") == "a?b.jpg does not exist; check the path"
    os.mkfifo(tmp_path / "pipe.jpg")  # which would be waited for
    assert "is not a regular file" in message(tmp_path / "pipe.jpg")


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        *((np.where(np.eye(150, 200)[:, :, None], bad, PIXELS / 255), "NaN") for bad in (np.nan, np.inf, -np.inf)),
        (PIXELS.astype(np.float64), "scale them to 0..1"),
        (PIXELS / 255 - 0.5, "float values from -0."),
        (PIXELS.astype(object), "an array of object; give uint8"),
        (PIXELS[None], "several images as a list"),
        (PIXELS[0, 0], "shape (3,)"),
        (np.zeros((0, 0, 3), np.uint8), "only 0 x 0 pixels"),
        (np.broadcast_to(np.uint8(0), (8000, 8000)), "more than 50 megapixels"),
    ],
)
def test_an_unusable_array_is_refused_with_what_to_give_instead(array: np.ndarray, expected: str) -> None:
    assert expected in message(array)


class FakeSocket(io.BytesIO):
    """A connection over which a server sent this and no more."""

    def makefile(self, _: str) -> io.BytesIO:
        return self


def test_other_values_types_closed_files_and_text_files_are_refused(tmp_path: Path) -> None:
    assert "NaN or infinite" in message(Image.new("F", (64, 64), float("nan")))
    for mode, value in (("F", -0.5), ("F", 70_000.0), ("I", -5), ("I", 70_000)):
        assert "scale them to 0..255" in message(Image.new(mode, (64, 64), value))
    assert "of type int; give a path" in message(3)
    path = tmp_path / "lesion.png"
    path.write_bytes(encode(draw_lesion()))
    with path.open("rb") as file:
        pass
    assert "closed file" in message(file)
    assert "open the file with mode 'rb'" in message(io.StringIO("text"))
    assert message({"image": draw_lesion()}).endswith("without bytes or path; give the image of the row alone")
    answer = HTTPResponse(FakeSocket(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"))
    answer.begin()
    assert "cannot be read from its file object (IncompleteRead" in message(answer)
    closed = Image.open(path)
    closed.close()
    assert "damaged or incomplete" in message(closed)


def test_sizes_just_inside_the_limits_are_accepted() -> None:
    assert open_image(Image.new("RGB", (MIN_SIDE, MIN_SIDE))).size == (MIN_SIDE, MIN_SIDE)
    assert "pixels" in message(Image.new("RGB", (MIN_SIDE, MIN_SIDE - 1)))
    assert open_image(Image.new("L", (10_000, MAX_PIXELS // 10_000))).size == (10_000, 5_000)
