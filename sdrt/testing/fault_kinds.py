"""The kinds of faults, by what they are faults of: each name with what a fault of this kind probably is.

The names are part of the interface: programs that read the faults of a check compare them. A kind may be added, none is renamed.
"""

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["ANYWHERE", "KINDS", "LOOPS", "NETWORKS", "SCHEDULERS", "STREAMS", "TOKENIZERS"]

ANYWHERE: Mapping[str, str] = {
    "raises": "an error where the original gives a result",
    "wrong_shape": "a result of another shape",
    "wrong_dtype": "a result of another type",
    "not_finite": "NaN or infinity in a result",
    "not_repeatable": "the same call gives other numbers the second time",
    "changes_its_input": "an array that was passed in is changed",
    "unexplained": "other numbers, for none of the reasons that the check knows",
}

SCHEDULERS: Mapping[str, str] = {
    "timesteps_off_by_one": "every timestep is one too large or too small, as with another steps_offset",
    "timesteps_ascending": "the timesteps begin at the end without noise",
    "timesteps_of_other_spacing": "the timesteps are those of another timestep_spacing",
    "timesteps_rounded": "fractional timesteps are rounded to whole ones",
    "too_many_timesteps": "more or fewer timesteps than calls",
    "input_not_scaled": "scale_model_input gives the sample back as it is",
    "init_noise_not_scaled": "init_noise_sigma is 1, or lacks the square root",
    "last_step_uses_the_wrong_alpha": "the last step ends at another noise level: set_alpha_to_one, final_sigmas_type",
    "prediction_read_as_another": "the network's output is read as another prediction_type",
    "noise_at_the_wrong_step": "noise is added after a step that adds none, or left out after one that does",
    "no_noise": "the noise of a stochastic sampler is left out in every step",
    "noise_of_the_wrong_size": "noise has another deviation, for example the variance in its place",
    "sigmas_in_float16": "the tables are rounded to half precision",
    "state_leaks": "a second run differs from the first, or two runs side by side from each other",
    "order_not_lowered_at_the_end": "the last steps have the order of the others: lower_order_final",
    "another_order": "the steps are those of another order",
    "add_noise_swaps_its_scales": "add_noise takes the noise's scale for the signal's",
    "add_noise_at_the_wrong_timestep": "add_noise reads the level of another timestep",
    "add_noise_without_roots": "add_noise takes powers for scales",
    "add_noise_in_other_units": "add_noise speaks x where the class speaks x / alpha, or the other way round",
    "wrong_noise_schedule": "the numbers are those of another beta_schedule, or of other betas",
    "setting_ignored": "the numbers are those of another value of one setting, which the message names",
    "another_sampler": "the numbers are those of another class",
}

STREAMS: Mapping[str, str] = {
    "another_generator": "the numbers are those of another stream that sdrt knows",
    "seed_truncated": "seeds are cut to 32 bits",
    "seed_ignored": "every seed gives the same numbers",
    "draws_of_float64": "float64 numbers are drawn and rounded, which takes twice the words",
    "small_draws_missing": "draws of fewer than 16 values go the way of larger ones",
    "large_draws_missing": "draws of 16 values and more go the way of smaller ones, value by value",
    "tail_of_draws_wrong": "the last 16 values of a draw whose size is no multiple of 16 are not drawn anew",
    "draws_do_not_continue": "a second draw begins anew, or where the first did not end",
    "one_draw_for_all_images": "every image of a batch has the noise of the first",
    "cos_and_sin_swapped": "the two halves of the Box-Muller transform are swapped",
    "another_order_of_axes": "the right numbers in another order of axes",
    "not_normal": "numbers that no standard normal distribution gives",
}

TOKENIZERS: Mapping[str, str] = {
    "start_token_missing": "rows do not begin with the start token",
    "end_token_missing": "rows have no end token",
    "padded_with_another_id": "rows are filled with another id",
    "truncated_elsewhere": "long texts are cut at another length, or not at all",
    "padded_to_another_length": "rows have another length than model_max_length",
    "end_token_cut_off": "long texts lose their end token",
    "not_lowercased": "capitals are kept",
    "lowercased_otherwise": "letters are lower-cased by other rules: a final sigma, ß as ss",
    "white_space_kept": "white space becomes a word, or is not recognised as such beyond ASCII",
    "control_characters_are_blanks": "U+001C to U+001F separate words, as in Python",
    "not_normalised": "composed and decomposed characters have different ids: NFC",
    "accents_stripped": "accents are removed",
    "only_ascii_letters": "letters beyond ASCII are split off as symbols",
    "merges_in_the_wrong_order": "merges are made from left to right, or by length, not by rank",
    "end_of_word_missing": "the last symbol of a word has no </w>",
    "numbers_not_split": "digits are merged into numbers",
    "contractions_not_split": "'s, 't, 're and their kin do not begin words of their own",
    "not_split_at_punctuation": "words are split at blanks alone",
    "punctuation_not_joined": "each punctuation mark is a word of its own",
    "bytes_not_encoded": "characters beyond the vocabulary are left out, or become the unknown token, and not their bytes",
    "special_tokens_not_recognised": "<|startoftext|> and <|endoftext|> in a text are read as plain text",
    "html_unescaped": "HTML entities are turned into characters, as in openai/CLIP and not in transformers",
    "cleaned_by_ftfy": "quotes, ligatures and wide letters are made plain, as in openai/CLIP and not in transformers",
    "not_of_ids": "a result that is no list of whole numbers of the vocabulary",
}

LOOPS: Mapping[str, str] = {
    "guidance_rows_swapped": "the rows with and without the prompt are exchanged",
    "negative_prompt_ignored": "the empty prompt takes the place of the negative one",
    "guidance_formula_wrong": "the two predictions are not combined as uncond + scale * (cond - uncond)",
    "guidance_at_the_wrong_call": "some calls are guided and others are not",
    "noise_drawn_in_another_order": "the sampler's noise is drawn before the latents, or for other calls",
    "latents_scaled_twice": "init_noise_sigma or the input's scale is applied twice",
    "latents_not_scaled": "init_noise_sigma or the input's scale is not applied",
    "vae_factor_missing": "latents are decoded without being divided by scaling_factor",
    "not_clamped": "pixels leave [0, 1]: they are not clamped, or wrap around as bytes",
    "pixels_not_rescaled": "the decoder's [-1, 1] is taken for [0, 1]",
    "wrong_timesteps_for_the_network": "the network is called at other timesteps than the scheduler's",
    "wrong_number_of_calls": "the network is called more or less often than the scheduler has timesteps",
}

# of networks and their backends; `check_backend` says more in its messages
NETWORKS: Mapping[str, str] = {}

KINDS: Mapping[str, str] = MappingProxyType({**ANYWHERE, **SCHEDULERS, **STREAMS, **TOKENIZERS, **LOOPS, **NETWORKS})
