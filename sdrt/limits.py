"""The most that sdrt accepts of each amount: enough for every real use, too little for a slip or a damaged file to take the machine.

Every amount that decides how much memory or time is taken is checked against one field of :class:`Limits`, before it is taken.
"""

from dataclasses import dataclass, fields

from sdrt.errors import ConfigError, SdrtError
from sdrt.printable import shown

__all__ = ["DEFAULT_LIMITS", "Limits"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that sdrt accepts of each amount; ``sdrt.load(limits=sdrt.Limits(images=100_000))`` raises one.

    Parameters
    ----------
    images : int
        Images of one call.
    pixels : int
        Height times width of one image, drawn or read.
    steps : int
        Denoising steps of one run.
    train_timesteps : int
        Timesteps of a noise schedule, whose tables hold a few numbers for each.
    prompt_characters : int
        Characters of one prompt.
    prompt_chunks : int
        Chunks of 75 tokens into which one prompt is cut.
    layers : int
        Layers, levels or blocks that a network's configuration asks for in one place.
    threads : int
    json_bytes : int
        Bytes of one JSON file, tokenizers and shard indexes included.
    file_bytes : int
        Bytes of any other file that is read whole: vocabularies, Core ML programs, pictures.

    Raises
    ------
    ConfigError : a limit is not a whole number above 0
    """

    images: int = 10_000
    pixels: int = 2**26
    steps: int = 10_000
    train_timesteps: int = 100_000
    prompt_characters: int = 100_000
    prompt_chunks: int = 128
    layers: int = 1_000
    threads: int = 1_024
    json_bytes: int = 2**26
    file_bytes: int = 2**31

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"the limit {field.name} must be a whole number above 0, got {shown(value)}; leave it out")

    def check(self, limit: str, name: str, amount: int, error: type[SdrtError] = ConfigError) -> None:
        """Raise unless an amount is within its limit.

        Parameters
        ----------
        limit : str
            A field of this class.
        name : str
            What the amount is of, for the message.
        amount : int
        error : class of SdrtError

        >>> Limits().check("images", "num_images", 40_000)
        Traceback (most recent call last):
        ...
        sdrt.errors.ConfigError: num_images must be at most 10000, got 40000; raise it with sdrt.load(limits=sdrt.Limits(images=40000))
        """
        most = getattr(self, limit)
        if amount > most:
            # Python refuses to write out whole numbers of more than 4,300 digits
            got, raised = (amount, amount) if amount < 10**20 else ("a number of more than 20 digits", "...")
            raise error(f"{name} must be at most {most}, got {got}; raise it with sdrt.load(limits=sdrt.Limits({limit}={raised}))")


DEFAULT_LIMITS = Limits()
