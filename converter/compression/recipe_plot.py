"""Plot the recipes of an analysis, where matplotlib is installed: what the latents' PSNR costs in bytes."""

from importlib.util import find_spec
from pathlib import Path

from converter.compression.pre_analysis import PreAnalysis
from converter.compression.thresholds import mean_bits
from converter.workplace import workplace

__all__ = ["plot_recipes"]


def plot_recipes(analysis: PreAnalysis, file: Path) -> Path | None:
    """Write the plot beside an analysis's file, under its name and ``_psnr_vs_size.png``; return its path, or None without matplotlib."""
    if find_spec("matplotlib") is None:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # type: ignore[import-not-found]
    from matplotlib.figure import Figure  # type: ignore[import-not-found]

    place = file.with_name(f"{file.stem}_psnr_vs_size.png")
    megabytes = sum(analysis.elements.values()) / 8e6
    figure = Figure(figsize=(8, 6))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, psnr in analysis.recipe_psnr.items():
        bits = mean_bits(analysis.recipes[name], analysis.elements)
        axes.plot(bits * megabytes, psnr, "o")
        axes.annotate(f"{bits:.2f} bits", (bits * megabytes, psnr))
    for name, psnr in analysis.baselines.items():
        axes.axhline(psnr, linestyle="--", linewidth=0.8)
        axes.text(0.01, psnr, name, transform=axes.get_yaxis_transform())
    axes.set_title(analysis.model)
    axes.set_xlabel("size of the measured layers (MB)")
    axes.set_ylabel("PSNR of the latents after one step (dB)")
    with workplace(file.parent) as folder:
        figure.savefig(folder / place.name)
        (folder / place.name).replace(place)
    return place
