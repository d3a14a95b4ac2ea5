package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"errorcell/internal/numpy"
)

const (
	zoom   = 4           // pixels of the picture for a pixel of a digit
	tile   = side * zoom // the side of a digit in the picture
	gap    = 12
	header = 26
	margin = 28
)

// rows of the picture are digits 0 to 9, columns what the cell has of each.
var columns = []string{"target", "prediction mu", "error dmu"}

// writePicture draws the first digit of each class: the target, the prediction
// and the error side by side.
func writePicture(path string, d digits, dmu []float32) error {
	var first []int
	for class := range classes {
		for i, label := range d.labels {
			if label == class {
				first = append(first, i)
				break
			}
		}
	}
	// Two blocks of three columns, so that the picture is wider than tall.
	perBlock := (len(first) + 1) / 2
	block := len(columns)*(tile+gap) + 2*gap
	width, height := margin+2*block+gap, header+perBlock*(tile+gap)+margin
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(img, img.Bounds(), image.White, image.Point{}, draw.Src)
	for b := range 2 {
		for c, title := range columns {
			label(img, margin+b*block+c*(tile+gap), header-9, title)
		}
	}
	for row, i := range first {
		x, y := margin+row/perBlock*block, header+row%perBlock*(tile+gap)
		label(img, x-14, y+tile/2, fmt.Sprint(d.labels[i]))
		part := func(a []float32) []float32 { return a[i*units:][:units] }
		drawTile(img, x, y, part(d.target), ink)
		drawTile(img, x+tile+gap, y, part(d.mean), ink)
		drawTile(img, x+2*(tile+gap), y, part(dmu), signed)
	}
	legend(img, margin, height-10)

	var text bytes.Buffer
	if err := png.Encode(&text, img); err != nil {
		return err
	}
	file, err := numpy.Create(path)
	if err != nil {
		return err
	}
	defer file.Discard()
	if _, err := file.Write(text.Bytes()); err != nil {
		return err
	}
	return file.Commit()
}

func drawTile(img *image.RGBA, x, y int, values []float32, shade func(float32) color.RGBA) {
	for p, v := range values {
		at := image.Rect(0, 0, zoom, zoom).Add(image.Pt(x+p%side*zoom, y+p/side*zoom))
		draw.Draw(img, at, image.NewUniform(shade(v)), image.Point{}, draw.Src)
	}
	frame := color.RGBA{190, 190, 190, 255}
	for i := -1; i <= tile; i++ {
		img.SetRGBA(x+i, y-1, frame)
		img.SetRGBA(x+i, y+tile, frame)
		img.SetRGBA(x-1, y+i, frame)
		img.SetRGBA(x+tile, y+i, frame)
	}
}

// ink shades 0 (paper) to 1 (ink).
func ink(v float32) color.RGBA {
	g := uint8(255 - math.Round(255*float64(v)))
	return color.RGBA{g, g, g, 255}
}

var (
	tooLow  = color.RGBA{202, 52, 51, 255}   // dmu = +1: the prediction is below the target
	tooHigh = color.RGBA{33, 102, 172, 255}  // dmu = -1: it is above
	right   = color.RGBA{247, 247, 247, 255} // dmu = 0
)

// signed shades the error of a Laplacian cell.
func signed(v float32) color.RGBA {
	switch {
	case v > 0:
		return tooLow
	case v < 0:
		return tooHigh
	}
	return right
}

func legend(img *image.RGBA, x, y int) {
	for _, entry := range []struct {
		shade color.RGBA
		text  string
	}{{tooLow, "dmu = +1: too little ink predicted"}, {tooHigh, "dmu = -1: too much"}, {right, "dmu = 0: as predicted"}} {
		draw.Draw(img, image.Rect(x, y-10, x+12, y+2), image.NewUniform(entry.shade), image.Point{}, draw.Src)
		x = label(img, x+18, y, entry.text) + 24
	}
}

// label writes text with its baseline at y, and gives where it ends.
func label(img *image.RGBA, x, y int, text string) int {
	d := font.Drawer{Dst: img, Src: image.Black, Face: basicfont.Face7x13, Dot: fixed.P(x, y)}
	d.DrawString(text)
	return d.Dot.X.Round()
}
