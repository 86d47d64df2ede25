"""Recognizing that memory was not enough, in the many forms in which errors say it."""

from __future__ import annotations

import torch

GPU_TEXTS = (
    "CUDA out of memory",
    "HIP out of memory",
    "CUDA error: out of memory",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "cudaErrorMemoryAllocation",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUSOLVER_STATUS_ALLOC_FAILED",
)
"""Messages of PyTorch and of CUDA's libraries about the memory of a GPU."""
CPU_TEXTS = ("can't allocate memory", "Cannot allocate memory")


def is_gpu_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of a GPU was not enough."""
    return isinstance(error, torch.OutOfMemoryError) or mentions_gpu_out_of_memory(str(error))


def is_cpu_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of the machine was not enough."""
    return isinstance(error, MemoryError) or any(text in str(error) for text in CPU_TEXTS)


def mentions_gpu_out_of_memory(text: str) -> bool:
    """Whether the text of an error says that the memory of a GPU was not enough."""
    return any(gpu_text in text for gpu_text in GPU_TEXTS)
