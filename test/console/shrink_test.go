//go:build pictures

package console

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"slices"
)

// shrink writes a picture again with the 256 colours that it has most of, vivid
// ones before greys; each other one becomes the nearest of them. Of a page it is less than half as large and
// looks the same.
func shrink(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		return err
	}
	box, count := img.Bounds(), map[color.RGBA]int{}
	each := func(do func(x, y int, c color.RGBA)) {
		for y := box.Min.Y; y < box.Max.Y; y++ {
			for x := box.Min.X; x < box.Max.X; x++ {
				do(x, y, color.RGBAModel.Convert(img.At(x, y)).(color.RGBA))
			}
		}
	}
	each(func(_, _ int, c color.RGBA) { count[c]++ })
	colours := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int { return cmp.Compare(count[b]*vivid(b), count[a]*vivid(a)) })
	palette, index := color.Palette{}, map[color.RGBA]uint8{}
	for _, c := range colours[:min(256, len(colours))] {
		palette = append(palette, c)
	}
	for _, c := range colours {
		index[c] = uint8(palette.Index(c))
	}
	out := image.NewPaletted(box, palette)
	each(func(x, y int, c color.RGBA) { out.SetColorIndex(x, y, index[c]) })
	var small bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&small, out); err != nil {
		return err
	}
	return os.WriteFile(path, small.Bytes(), 0o644)
}

// vivid is 1 for a grey: of those a page has enough between the letters.
func vivid(c color.RGBA) int { return 1 + int(max(c.R, c.G, c.B)-min(c.R, c.G, c.B))/8 }
