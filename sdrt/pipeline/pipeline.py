"""The pipeline: its methods turn a prompt and options into a run of the one loop."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any, Unpack

from sdrt.arrays import Float
from sdrt.errors import ConfigError
from sdrt.freeu import FreeU
from sdrt.guidance import GuidanceSchedule
from sdrt.guidance_options import APG, DynamicThresholding
from sdrt.images.inputs import Picture
from sdrt.images.sizes import Resize
from sdrt.option_kinds import PROMPTS
from sdrt.pipeline.hires import resolve_call
from sdrt.pipeline.loaded_pipeline import LoadedPipeline
from sdrt.pipeline.options import (
    AdapterPreprocessor,
    ControlMode,
    ControlNetInput,
    ControlPreprocessor,
    GenerateOptions,
    GuidanceBatching,
    HiresUpscaler,
    MaskedContent,
    MaskMode,
    NoiseSource,
    OldSpellings,
    PromptRegion,
    SchedulerChoice,
    SDXLSizes,
    given_options,
)
from sdrt.pipeline.progress import OnProgress, says_stop
from sdrt.pipeline.resolve import Resolved
from sdrt.pipeline.results import Result
from sdrt.pipeline.step import Step
from sdrt.pipeline.steps import Steps
from sdrt.prompt import Emphasis, LongPrompts, PromptSyntax
from sdrt.records.settings import Settings
from sdrt.schedulers import Compat
from sdrt.values import Function

__all__ = ["GenerateOptions", "Pipeline", "Result", "Step"]

_REPAIR = "pass one text, or one for each image"


class Pipeline(LoadedPipeline):
    """Draw pictures with a model, its tokenizers and its networks; :func:`sdrt.load` constructs it.

    Networks are opened when first needed, or all at once by :meth:`load`. Any number of threads may call one pipeline; call :meth:`unload`
    and :meth:`close` only while no other call is running.
    """

    def generate(
        self,
        prompt: str | Sequence[str],
        negative_prompt: str | Sequence[str] | None = "",
        *,
        on_step: Callable[[Step], bool | None] | None = None,
        on_progress: OnProgress | None = None,
        seed: int | Sequence[int] | None = None,
        subseed: int | None = None,
        subseed_strength: float = 0.0,
        seed_resize_from: tuple[int, int] | None = None,
        num_images: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        guidance_rescale: float = 0.0,
        guidance_batching: GuidanceBatching = "batched",
        guidance_start: float | None = None,
        guidance_end: float | None = None,
        guidance_schedule: GuidanceSchedule | Sequence[float] | None = None,
        apg: APG | None = None,
        dynamic_thresholding: DynamicThresholding | None = None,
        height: int | None = None,
        width: int | None = None,
        scheduler: SchedulerChoice | None = None,
        eta: float | None = None,
        rng: NoiseSource = "torch",
        sampler_rng: NoiseSource | None = None,
        sampler_seed: int | None = None,
        prompt_syntax: PromptSyntax | None = None,
        regions: Sequence[PromptRegion] | None = None,
        region_prompt: str | Sequence[str] | None = None,
        region_mask: Picture | Sequence[Picture] | None = None,
        region_weight: float | Sequence[float] | None = None,
        long_prompts: LongPrompts | None = None,
        emphasis: Emphasis = "original",
        clip_skip: int | None = None,
        image: Picture | Sequence[Picture] | None = None,
        strength: float | None = None,
        resize: Resize | None = None,
        background: str | tuple[int, int, int] | None = None,
        image_latents: Float | None = None,
        latents: Float | None = None,
        mask_image: Picture | Sequence[Picture] | None = None,
        mask_mode: MaskMode | None = None,
        mask_blur: float | None = None,
        masked_content: MaskedContent | None = None,
        only_masked: bool | None = None,
        only_masked_padding: int | None = None,
        paste: bool | None = None,
        hires_scale: float | None = None,
        hires_steps: int | None = None,
        hires_denoising: float | None = None,
        hires_upscaler: HiresUpscaler | None = None,
        hires_scheduler: SchedulerChoice | None = None,
        hires_prompt: str | Sequence[str] | None = None,
        hires_negative_prompt: str | Sequence[str] | None = None,
        hires_guidance_scale: float | None = None,
        control_image: Picture | ControlNetInput | Sequence[Picture | ControlNetInput] | None = None,
        controlnet_conditioning_scale: float | Sequence[float] | None = None,
        control_guidance_start: float | Sequence[float] | None = None,
        control_guidance_end: float | Sequence[float] | None = None,
        control_mode: ControlMode | Sequence[ControlMode] | None = None,
        guess_mode: bool | None = None,
        control_type: str | int | Sequence[str | int] | None = None,
        control_preprocessor: ControlPreprocessor | Sequence[ControlPreprocessor] | None = None,
        prompt_2: str | Sequence[str] | None = None,
        negative_prompt_2: str | Sequence[str] | None = None,
        adapter_image: Picture | Sequence[Picture] | None = None,
        adapter_conditioning_scale: float | Sequence[float] | None = None,
        adapter_conditioning_factor: float | Sequence[float] | None = None,
        adapter_preprocessor: AdapterPreprocessor | Sequence[AdapterPreprocessor] | None = None,
        ip_adapter_image: Picture | Sequence[Any] | None = None,
        ip_adapter_image_embeds: Float | Sequence[Float] | None = None,
        ip_adapter_scale: float | Mapping[str, Any] | Sequence[Any] | None = None,
        ip_adapter_mask: Picture | Sequence[Any] | None = None,
        sizes: SDXLSizes | None = None,
        original_size: tuple[int, int] | None = None,
        crops_coords_top_left: tuple[int, int] | None = None,
        target_size: tuple[int, int] | None = None,
        aesthetic_score: float | None = None,
        negative_aesthetic_score: float | None = None,
        refiner_start: float | None = None,
        freeu: FreeU | None = None,
        pag_scale: float | None = None,
        pag_applied_layers: str | Sequence[str] | None = None,
        pag_adaptive_scale: float | None = None,
        token_merging: float | None = None,
        record_paths: bool = False,
        compat: Compat = None,
        **old_spellings: Unpack[OldSpellings],
    ) -> Result:
        """Draw images of a prompt.

        Passing None for an option is the same as leaving it out.

        Parameters
        ----------
        prompt : str or sequence of str
            What to draw. A list holds one for each image of the batch.
        negative_prompt : str or sequence of str, optional
            What to steer away from; a list as for ``prompt``. It has an effect only while guidance is on.
        on_step : callable, optional
            Called with a :class:`Step` after each network call; return False to cancel.
        on_progress : callable, optional
            Called with a :class:`sdrt.Progress` before each piece of work: a network to open, a prompt to encode, a call of the denoiser,
            an image to decode. Return False to cancel.
        seed : int or sequence of int, optional
            Image k is drawn from ``seed + k``, alone or in a batch; of a list, from ``seed[k]``. None or -1 picks a random seed and reports
            it in ``Result.seeds``.
        subseed : int, optional
            Seed of another noise, which ``subseed_strength`` mixes into the first noise of the image, as AUTOMATIC1111's variations do;
            image k has ``subseed + k``. None or -1 picks a random one.
        subseed_strength : float
            Share of that noise, from 0 (none) to 1 (the noise of ``subseed`` alone), by spherical interpolation. Above 0, all images have
            the same seed, unless it is a list.
        seed_resize_from : (height, width), optional
            Draw the first noise for this size in pixels, and put it into the middle of the image's own, so that the image resembles the one
            that the seed gives at that size.
        num_images : int, optional
            How many images to draw in one batch. None: one for each picture of ``image`` and ``mask_image``, or one.
        num_inference_steps : int, optional
            How many denoising steps to take. None: the model's own number (in ``sdrt.json``), else 50; 4 for a latent consistency model on
            its own scheduler.
        guidance_scale : float, optional
            Strength of classifier-free guidance. 1 or less turns it off and halves the work. None: the model's own scale, else 7.5; 8.5
            for a latent consistency model on its own scheduler.
        guidance_rescale : float
            How far to bring the standard deviation of the guided prediction back to that of the conditional one, from 0 (not at all) to 1.
            Try 0.7 for models with zero terminal signal-to-noise ratio.
        guidance_batching : "batched" or "sequential"
            Send all rows (each image with and without the prompt) through the U-Net together, or one after the other in less memory.
        guidance_start : float, optional
            Fraction of the run's steps at which guidance begins; before it the prompt alone is predicted, in half the time. None: 0.
        guidance_end : float, optional
            Fraction of the run's steps at which guidance ends, above ``guidance_start``. Kynkäänniemi et al. 2024 leave it out at both
            ends, where it makes pictures alike or adds nothing. None: 1.
        guidance_schedule : "constant", "linear" or "cosine", or sequence of float, optional
            How the scale changes from step to step. "linear" and "cosine" rise from 1 to nearly twice ``guidance_scale`` less 1, with
            ``guidance_scale`` as their mean (Wang et al. 2024). A list has the scale of each step that is made, in place of
            ``guidance_scale``; at 1 or less guidance is off. It is for the first pass of hi-res fix alone. None: "constant".
        apg : APG, optional
            Adaptive projected guidance, which leaves out what saturates colours at high scales. None: classifier-free guidance.
        dynamic_thresholding : DynamicThresholding, optional
            Bring the denoised latents back into the range of values that a lower scale would give. None: leave them.
        height : int, optional
            Pixels. None: that of ``image``, rounded to a multiple of 8, and in its proportions if only the width is passed; else the
            model's own size in ``sdrt.json``, else the size that the U-Net was trained on.
        width : int, optional
            As ``height``.
        scheduler : str, mapping, Sampler or DiffusersScheduler, optional
            A name (:func:`sdrt.schedulers.names` lists them) applied to the model's own configuration; a whole configuration in diffusers'
            keys; or an object of :mod:`sdrt.schedulers`. None: the model's own scheduler.
        eta : float, optional
            Amount of fresh noise per step, for the schedulers that have such an option (DDIM, TCD, ancestral ones). None: the scheduler's
            own amount.
        rng : str, NoiseStream or mapping
            Noise stream. A name of :func:`sdrt.rng.names` gives each image a stream of its own; from a stream object all images draw in
            turn; a mapping is the ``state`` of such a stream, and draws the same noise in each call.
        sampler_rng : str, NoiseStream or mapping, optional
            A separate stream for the scheduler's fresh noise. None: each image's own stream continues.
        sampler_seed : int, optional
            Seed of that separate stream. None: ``seed``.
        prompt_syntax : "full", "weighted" or "plain", optional
            "weighted" reads ``(word)``, ``(word:1.3)``, ``[word]`` and ``BREAK`` as AUTOMATIC1111 does; "full" also reads prompts that
            change during the run, ``[from:to:0.5]`` and ``[one|other]``, and prompts of several parts, ``a cat AND a dog :0.6``;
            "plain" takes all characters as text. None: "full", which is recorded as "weighted" where a prompt has nothing more, or
            "plain" with ``compat``.
        regions : sequence of PromptRegion, optional
            Parts of the picture with prompts of their own; ``prompt`` describes the rest. Each groups the next three options.
        region_prompt : str or sequence of str, optional
            One for each region, read as ``prompt`` is; LoRAs in it act on the whole picture.
        region_mask : Picture or sequence of Picture, optional
            White where that prompt counts, black where it does not, of any size. Where masks are grey or overlap, predictions are mixed.
        region_weight : float or sequence of float, optional
            How much each region counts where they are mixed, above 0; one for all, or one for each. None: 1.
        long_prompts : "chunk", "pad" or "truncate", optional
            "chunk" encodes a prompt in pieces of 75 tokens. If prompt and negative prompt then differ in length, each is still attended to
            as if it were alone. "pad" fills up the shorter one with empty pieces, which changes what it means, as this option's default
            did in earlier versions. "truncate" drops the rest and reports it in ``Result.truncated``. None: "chunk", or "truncate" where
            the model takes one chunk only and with ``compat``.
        emphasis : "original" or "no_norm"
            Whether the mean of a chunk is restored after the weights of words were applied ("original"), or not.
        clip_skip : int, optional
            How many of the text encoder's last layers to skip, as diffusers counts them (AUTOMATIC1111's number less 1). None: 0.
        image : Picture or sequence of Picture, optional
            The picture to change: a PIL image or ``uint8[H,W,3]``; or one for each image.
        strength : float, optional
            How much to change it, in (0, 1]: the share of the steps that is made. None: 0.8, and 1 with a mask, which then starts from
            noise alone where the picture is redrawn. With ``compat="apple"`` 1 ignores ``image``.
        resize : "stretch", "crop" or "fit", optional
            How ``image`` and its mask take another size: stretched; scaled to cover it, and the middle cut out; or scaled to fit inside,
            the borders filled with the colours of the edge. None: "stretch".
        background : str or (red, green, blue), optional
            The colour behind the transparent parts of ``image``: a name as in CSS, #rrggbb, or three numbers to 255. None: white.
        image_latents : float[1 or n,C,h,w], optional
            The same as latents, as :attr:`Result.latents` has them, in place of ``image``.
        latents : float[n,C,h,w], optional
            Standard normal noise for the start, in place of what ``rng`` would draw.
        mask_image : Picture or sequence of Picture, optional
            What of ``image`` to redraw: the white areas of this picture, or the opaque ones if it has transparency. Any model can; one of 9
            channels also sees the rest.
        mask_mode : "binary", "soft" or "strength", optional
            What grey in a mask means to the denoiser: redraw from half white on ("binary"); mix picture and drawing in its proportion at
            each step ("soft"); or redraw in the last steps only, as many as it is white ("strength"), so that a mask is a map of strengths.
            None: "binary".
        mask_blur : float, optional
            Soften the edge of the mask by a Gaussian with a standard deviation of so many of its picture's pixels. None: 0.
        masked_content : "original", "fill" or "noise", optional
            What is under the mask at the start: the picture itself, the colours around the mask, or noise. The strength decides how much of
            it shows; at strength 1 only "fill" does. None: "original".
        only_masked : bool, optional
            Cut out the part around the mask, draw that at ``height`` x ``width`` (None: the model's own size), and paste it back: details
            for small parts of large pictures. The result has the size of ``image``.
        only_masked_padding : int, optional
            With ``only_masked``: how many pixels of ``image`` around the mask belong to that part. None: 32.
        paste : bool, optional
            Put the pixels where the mask is black back at the end, byte for byte; where it is grey, the picture and what was drawn are
            mixed in its proportion. False leaves all pixels as the VAE makes them. None: True, but not with ``compat="diffusers"``.
        hires_scale : float, optional
            Hi-res fix: draw at ``height`` x ``width``, enlarge the picture so many times, at least 1, and draw on from it as image to
            image, so that a model composes at the size that it knows. The seeds' noise is drawn anew for the second pass. None: one pass.
        hires_steps : int, optional
            Steps of the whole second plan, of which the share ``hires_denoising`` is made, as of image to image. None: as many as the first
            pass has.
        hires_denoising : float, optional
            How much the second pass changes, in (0, 1]. None: 0.7.
        hires_upscaler : str, Path or Upscaler, optional
            What enlarges: latents, by torch's interpolation ("latent", which is bilinear, "latent-antialiased", "latent-bicubic",
            "latent-bicubic-antialiased", "latent-nearest", "latent-nearest-exact"); or the decoded pictures, which are encoded again
            ("lanczos", "bicubic", "nearest", or a network: a file, a repository, or what ``sdrt.load_upscaler`` gave). None: "latent".
        hires_scheduler : str, mapping, Sampler or DiffusersScheduler, optional
            Of the second pass, with its own ``eta``. None: ``scheduler``.
        hires_prompt : str or sequence of str, optional
            Of the second pass. None: ``prompt``.
        hires_negative_prompt : str or sequence of str, optional
            Of the second pass. None: ``negative_prompt``.
        hires_guidance_scale : float, optional
            Of the second pass. None: ``guidance_scale``.
        control_image : Picture or ControlNetInput, or a sequence of them, optional
            One picture for each ControlNet of the pipeline; a union ControlNet that is alone takes several. A
            :class:`sdrt.ControlNetInput` also holds the options below but ``guess_mode``. None: with
            ``control_preprocessor="inpaint"``, ``image``.
        controlnet_conditioning_scale : float or sequence of float, optional
            Strength of the ControlNets: one number for all, or one for each. None: 1.
        control_guidance_start : float or sequence of float, optional
            Fraction of the run at which ControlNets start to act. None: 0.
        control_guidance_end : float or sequence of float, optional
            Fraction of the run at which ControlNets stop to act. None: 1.
        control_mode : "balanced", "prompt" or "control", or a sequence of them, optional
            What leads where prompt and ControlNet disagree, as sd-webui-controlnet has it. "prompt" weakens the ControlNet towards the
            surface of the U-Net, where details are decided; "control" does so too, and lets the ControlNet act on the prediction with the
            prompt alone, which guidance then strengthens. None: "balanced".
        guess_mode : bool, optional
            Let the ControlNets act on the prediction with the prompt alone, weakened towards the surface of the U-Net, as diffusers does.
            Try a guidance_scale of 3 to 5, and no prompt. None: False.
        control_type : str, int, or sequence of them, optional
            For a union ControlNet: what each picture shows, as "openpose", "depth", "scribble", "canny", "normal", "segment", and, for
            unions of eight sorts, "tile" or "repaint"; or its number.
        control_preprocessor : str or sequence of str, optional
            What to make of each picture first, at the size of the run: "canny" edges, "soft_edges", "scribble", "tile" (fewer details),
            "grey", "invert" (for dark lines on white), or "inpaint", which marks the transparent pixels and those under ``mask_image``.
            None, or "none": nothing. The functions of :mod:`sdrt.images` do the same.
        prompt_2 : str or sequence of str, optional
            SDXL: the prompt for the second text encoder, from which the pooled text comes too; "" is an empty prompt. The refiner reads
            ``prompt``. None: ``prompt``.
        negative_prompt_2 : str or sequence of str, optional
            SDXL: the negative prompt for the second text encoder. None: ``negative_prompt``.
        adapter_image : Picture or sequence of Picture, optional
            What each T2I-Adapter of the pipeline follows: a picture for all images; or one for each image, those of the first adapter
            before those of the second.
        adapter_conditioning_scale : float or sequence of float, optional
            Strength of the T2I-Adapters: one number for all, or one for each. The features of several are added up. None: 1.
        adapter_conditioning_factor : float or sequence of float, optional
            The share of the run, from its beginning, in which T2I-Adapters act. None: 1.
        adapter_preprocessor : str or sequence of str, optional
            What to make of their pictures first, as ``control_preprocessor`` does, which also knows "inpaint".
        ip_adapter_image : Picture or nested sequence of Picture, optional
            The picture that an IP-Adapter looks at, or several that it sees together. With several adapters, a list with an entry for
            each. Nested once more, an entry holds a list of pictures for each image of the batch: ``[[[one], [two]]]``.
        ip_adapter_image_embeds : float array or sequence of them, optional
            What the image encoder gave, in place of the pictures, for each adapter: ``float[2,p,E]`` of p pictures, those of the negative
            row first, or ``float[1,p,E]`` with zeros for these; ``float[2,p,L,E]`` for an adapter that takes all states.
        ip_adapter_scale : float, mapping or sequence, optional
            How much the pictures count. A mapping gives each block of the U-Net its own, as in diffusers:
            ``{"up": {"block_0": [0.0, 1.0, 0.0]}}`` for the style alone of SDXL; a list has an entry for each adapter. With masks, an entry
            may be a list of numbers, one for each picture. None: 1.
        ip_adapter_mask : Picture or nested sequence of Picture, optional
            Where they count: white in a mask for each picture of an adapter; with several adapters, a list with an entry for each, None
            for everywhere. Scaled to the image's size.
        sizes : SDXLSizes, optional
            SDXL: the five options below in one object.
        original_size : (height, width), optional
            SDXL: the size that the image should look like it was resized from. None: its own size.
        crops_coords_top_left : (top, left), optional
            SDXL: how many pixels the image should look cropped by. None: (0, 0), which centres the subject.
        target_size : (height, width), optional
            SDXL: the size that the image should look like it has. None: its own size.
        aesthetic_score : float, optional
            SDXL's refiner: the score to aim at. None: 6.
        negative_aesthetic_score : float, optional
            SDXL's refiner: the score to steer away from. None: 2.5.
        refiner_start : float, optional
            With a refiner: fraction of the noise levels, in (0, 1], after which it takes over. None: 0.8.
        freeu : FreeU, optional
            Scale the U-Net's backbone and the low frequencies of its skip connections by these factors (Si et al. 2023), which trades
            fine texture for structure. A refiner's U-Net stays as it is. None: no scaling.
        pag_scale : float, optional
            Strength of perturbed-attention guidance (Ahn et al. 2024), which leads away from pictures without structure: from a second
            prediction under the prompt, whose self-attention sees each place alone. Try 3, with or without ``guidance_scale``. It ends
            where a refiner takes over. None: 0, off.
        pag_applied_layers : str or sequence of str, optional
            The self-attentions that it perturbs, by diffusers' paths and patterns: "mid", "down_blocks.1", "up_blocks.0.attentions.1".
            None: "mid".
        pag_adaptive_scale : float, optional
            How much ``pag_scale`` falls for each of the 1000 timesteps that is done, down to 0. None: 0, it stays.
        token_merging : float, optional
            Share of pixels, from 0 to 0.75, that are merged into similar ones for self-attention where the U-Net attends to the most of
            them (Bolya and Hoffman 2023): large pictures are drawn faster, and differ a little. A refiner's U-Net stays as it is.
            None: 0, none.
        record_paths : bool
            Whether the record names the files that pictures were opened from, beside their digests, so that the record alone draws the
            picture again while the files are there. Others who get the picture can read the paths.
        compat : "diffusers", "apple" or None
            Reproduce the known bugs of that implementation in the scheduler. "diffusers" also reads prompts as diffusers does (see
            ``prompt_syntax`` and ``long_prompts``), and applies ``clip_skip`` to the prompt alone.
        **old_spellings
            Names of 0.1.0: ``cfg`` for ``guidance_batching``. They work, with a DeprecationWarning.

        Returns
        -------
        Result

        Raises
        ------
        ConfigError : an option is unknown, does not fit the model, or is out of range
        ImageError : ``image``, ``mask_image`` or ``control_image`` is not a picture
        ModelError : the model's folder is incomplete or damaged
        ArrayContractError : a network returned NaN, or an array of another shape than its contract
        """
        if on_step is not None:
            Function().check("on_step", on_step)
        options = {**old_spellings, **{name: value for name, value in locals().items() if name in GenerateOptions.__annotations__}}
        steps = Steps(self._resolve(prompt, negative_prompt, given_options(options)), on_progress)
        # an error of on_step releases the networks now, and not when the last traceback that holds this frame goes
        with closing(steps):
            for step in steps:
                if on_step is not None and says_stop(on_step(step)):
                    steps.cancel()
            return steps.result()

    def steps(
        self,
        prompt: str | Sequence[str],
        negative_prompt: str | Sequence[str] | None = "",
        *,
        on_progress: OnProgress | None = None,
        **options: Unpack[GenerateOptions],
    ) -> Steps:
        """Return the loop of :meth:`generate` as an iterator of :class:`Step`.

        Leaving the loop cancels; :meth:`Steps.result` finishes it and decodes. This call checks the options and draws the initial noise;
        the first iteration opens the networks.

        Options, errors: those of :meth:`generate`, which documents each.

        >>> import sdrt
        >>> steps = sdrt.load("nano").steps("a red circle", seed=93, num_inference_steps=3)
        >>> steps.seeds, steps.num_steps, [step.index for step in steps]
        ((93,), 3, [0, 1, 2])
        """
        return Steps(self._resolve(prompt, negative_prompt, given_options(options)), on_progress)

    def resolve(
        self, prompt: str | Sequence[str], negative_prompt: str | Sequence[str] | None = "", **options: Unpack[GenerateOptions]
    ) -> Settings:
        """Check the options of a call and fill in their defaults, without opening a network.

        Options, errors: those of :meth:`generate`, which documents each.

        Returns
        -------
        Settings
            What :meth:`generate` would record, with a random seed if none is passed.
        """
        return self._resolve(prompt, negative_prompt, given_options(options)).settings

    def _resolve(self, prompt: str | Sequence[str], negative_prompt: str | Sequence[str] | None, options: GenerateOptions) -> Resolved:
        negative = "" if negative_prompt is None else PROMPTS.check("negative_prompt", negative_prompt, _REPAIR)
        make = self._make_observer
        assembly = self._assembly if make is None else self._assembly.observed(make())
        if make is not None and options.get("hires_scale") is not None:
            raise ConfigError(
                "hires_scale must be left out while runs are recorded or watched, which holds one pass; draw the passes apart, the second "
                "from image_latents=result.latents"
            )
        return resolve_call(assembly, PROMPTS.check("prompt", prompt, _REPAIR), negative, options)
