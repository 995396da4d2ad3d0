"""Hooks that turn one call of a diffusers pipeline into the events of a run: its modules, its scheduler's steps, its draws of noise."""

import functools
import inspect
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from sdrt.arrays import Array
from sdrt.compare.diffusers_calls import TRANSLATORS, Translate, arguments_of, to_array
from sdrt.recordings import RecordingWriter

__all__ = ["HookedRun"]

_OF_THE_LOOP = ("unet", "controlnet")
_DRAW = "randn_tensor"
# Where an autoencoder's posterior draws.
_POSTERIORS = "diffusers.models.autoencoders.vae"


class HookedRun:
    """One call of a pipeline.

    Parameters
    ----------
    writer : RecordingWriter
    number : int
        Of the run.
    pipeline : DiffusionPipeline
    keeps : bool
        Whether the pipeline puts a part of a picture back after each step, which its scheduler does not see.
    """

    def __init__(self, writer: RecordingWriter, number: int, pipeline: Any, *, keeps: bool = False) -> None:
        self._writer, self._number, self._pipeline, self._keeps = writer, number, pipeline, keeps
        self._done = 0
        self._noise: list[Array] = []
        self._stepping = False
        self._drew_latents = False
        self.latents: Array | None = None

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """Keep hooks on everything for as long as the context lasts."""
        pipeline = self._pipeline
        with ExitStack() as stack:
            for name in ("text_encoder", "text_encoder_2", "unet", "safety_checker"):
                if (module := getattr(pipeline, name, None)) is not None:
                    self._hook_module(stack, name, name, module)
            for k, module in enumerate(_controlnets(pipeline)):
                self._hook_controlnet(stack, f"controlnet.{k}", module)
            for method, name in (("decode", "vae_decoder"), ("encode", "vae_encoder")):
                stack.enter_context(_replaced(pipeline.vae, method, self._heard(name, getattr(pipeline.vae, method))))
            stack.enter_context(_replaced(pipeline.scheduler, "step", self._stepped(pipeline.scheduler)))
            for module_name in _drawing_modules(pipeline):
                module = sys.modules[module_name]
                drawn = self._drawn(getattr(module, _DRAW), posterior=module_name == _POSTERIORS)
                stack.enter_context(_replaced(module, _DRAW, drawn))
            yield

    # ---- networks

    def _hook_module(self, stack: ExitStack, component: str, kind: str, module: Any) -> None:
        translate = TRANSLATORS[kind]

        # what torch.compile wraps takes any arguments
        own = type(getattr(module, "_orig_mod", module)).forward

        def heard(_: Any, args: Any, kwargs: Any, output: Any) -> None:
            self._network(component, translate, arguments_of(own, args, kwargs), output)

        handle = module.register_forward_hook(heard, with_kwargs=True)
        stack.callback(handle.remove)

    def _hook_controlnet(self, stack: ExitStack, component: str, module: Any) -> None:
        """Record a ControlNet, which scales its residuals itself: the contract has them as they are before."""
        own, original = type(getattr(module, "_orig_mod", module)).forward, module.forward
        pools = getattr(module.config, "global_pool_conditions", False)

        @functools.wraps(original)
        def forward(*args: Any, **kwargs: Any) -> Any:
            given = arguments_of(own, args, kwargs)
            if pools or given["guess_mode"]:
                # what these do to the residuals is not taken apart
                output = original(**given)
                self._network(component, TRANSLATORS["controlnet"], given, output)
                return output
            scale = given["conditioning_scale"]
            down, middle = original(**(given | {"conditioning_scale": 1.0, "return_dict": False}))
            self._network(component, TRANSLATORS["controlnet"], given, (down, middle))
            scaled = ([x * scale for x in down], middle * scale)
            return scaled if not given["return_dict"] else _controlnet_output(own)(*scaled)

        stack.enter_context(_replaced(module, "forward", forward))

    def _heard(self, component: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            output = method(*args, **kwargs)
            self._network(component, TRANSLATORS[component], arguments_of(method, args, kwargs), output)
            return output

        return call

    def _network(self, component: str, translate: Translate, given: Mapping[str, Any], output: Any) -> None:
        inputs, outputs = translate(given, output)
        arrays = {f"input.{name}": x for name, x in inputs.items()} | {f"output.{name}": x for name, x in outputs.items()}
        values = {"clip_skip": 0} if "input_ids" in inputs else {}
        step = self._done if component.partition(".")[0] in _OF_THE_LOOP else None
        self._writer.add("network", self._number, arrays, values, step=step, component=component)

    # ---- scheduler and noise

    def _stepped(self, scheduler: Any) -> Callable[..., Any]:
        original = scheduler.step

        @functools.wraps(original)
        def step(model_output: Any, timestep: Any, sample: Any, *args: Any, **kwargs: Any) -> Any:
            before = to_array(sample)
            self._noise, self._stepping = [], True
            try:
                returned = original(model_output, timestep, sample, *args, **kwargs)
            finally:
                self._stepping = False
            index = getattr(scheduler, "step_index", None)
            after = to_array(returned[0] if isinstance(returned, tuple) else returned.prev_sample)
            arrays = {"output": to_array(model_output), "sample": before, "prev_sample": after}
            arrays["before.x"] = _in_model_scale(scheduler, before, None if index is None else index - 1)
            arrays["stepped.x"] = _in_model_scale(scheduler, after, index)
            if not self._keeps:
                arrays["after.x"] = self.latents = arrays["stepped.x"]
            arrays |= {"noise" if k == 0 else f"noise.{k}": noise for k, noise in enumerate(self._noise)}
            self._writer.add("step", self._number, arrays, {"call": self._done, "timestep": float(timestep)}, step=self._done)
            self._done += 1
            return returned

        return step

    def _drawn(self, original: Callable[..., Any], *, posterior: bool) -> Callable[..., Any]:
        @functools.wraps(original)
        def draw(*args: Any, **kwargs: Any) -> Any:
            drawn = original(*args, **kwargs)
            noise = to_array(drawn)
            if self._stepping:
                self._noise.append(noise)
            else:
                # diffusers draws for the picture that a run starts from, then the latents, then for the masked picture
                name = "noise" if not posterior else "masked" if self._drew_latents else "source"
                self._drew_latents = self._drew_latents or not posterior
                self._writer.add("noise", self._number, {name: noise})
            return drawn

        return draw


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Put an attribute of an object or a module in place of its own."""
    own = vars(owner).get(name)
    held = name in vars(owner)
    # a torch module keeps no functions among its own attributes
    object.__setattr__(owner, name, value) if not inspect.ismodule(owner) else setattr(owner, name, value)
    try:
        yield
    finally:
        if held:
            setattr(owner, name, own)
        else:
            object.__delattr__(owner, name)


def _controlnets(pipeline: Any) -> list[Any]:
    controlnet = getattr(pipeline, "controlnet", None)
    if controlnet is None:
        return []
    return list(getattr(controlnet, "nets", [controlnet]))


def _controlnet_output(forward: Callable[..., Any]) -> Callable[..., Any]:
    output: Callable[..., Any] = sys.modules[forward.__module__].ControlNetOutput
    return output


def _drawing_modules(pipeline: Any) -> list[str]:
    """Return the modules through which a pipeline draws: those of its classes, of its scheduler's, and that of the posterior."""
    classes = (*type(pipeline).__mro__, *type(pipeline.scheduler).__mro__)
    names = dict.fromkeys([*(each.__module__ for each in classes), _POSTERIORS])
    return [name for name in names if hasattr(sys.modules.get(name), _DRAW)]


def _in_model_scale(scheduler: Any, sample: Array, index: int | None) -> Array:
    """Return a sample as x = alpha * x0 + sigma * noise; a variance-exploding scheduler of diffusers has x / alpha.

    Parameters
    ----------
    index : int or None
        The stop that it stands at.
    """
    sigmas = getattr(scheduler, "sigmas", None)
    if float(getattr(scheduler, "init_noise_sigma", 1.0)) <= 1.0 or sigmas is None or index is None or index >= len(sigmas):
        return sample
    alpha = 1 / math.sqrt(1 + float(sigmas[index]) ** 2)
    scaled: Array = (sample * alpha).astype(sample.dtype)
    return scaled
