import numpy as np
import pytest
import SimpleITK as sitk

from mrimpute import io
from mrimpute.errors import ImageDamaged
from tests.conftest import head_voxels

VOXELS = head_voxels("t2", (20, 22, 18))


@pytest.fixture(params=[".mha", ".nrrd"])
def path(request, tmp_path):
    image = sitk.GetImageFromArray(VOXELS.transpose(2, 1, 0))
    image.SetSpacing((1.0, 1.5, 2.0))
    image.SetOrigin((10.0, -20.0, 30.0))
    sitk.WriteImage(image, str(tmp_path / f"x{request.param}"))
    return tmp_path / f"x{request.param}"


def test_voxels_and_geometry_are_read(path):
    volume = io.read_volume(path)
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    assert volume.grid.spacing == (1.0, 1.5, 2.0)
    np.testing.assert_allclose(volume.grid.affine[:3, 3], [-10.0, 20.0, 30.0])  # LPS in the file, RAS here
    assert volume.grid.orientation == "LPS"


@pytest.mark.parametrize("kept", [0.5, 0.1])
def test_a_truncated_file_is_refused(path, kept):
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * kept)])
    with pytest.raises(ImageDamaged):
        io.read_volume(path)


def test_a_file_of_another_kind_is_refused(path):
    path.write_text("not an image")
    with pytest.raises(ImageDamaged, match="not a readable image"):
        io.read_info(path)


def test_voxels_in_another_file_are_refused(path, tmp_path):
    image = sitk.ReadImage(str(path))
    detached = tmp_path / ("d.mhd" if path.suffix == ".mha" else "d.nhdr")
    sitk.WriteImage(image, str(detached))
    renamed = detached.rename(tmp_path / f"detached{path.suffix}")
    with pytest.raises(ImageDamaged, match="keeps its voxels in another file"):
        io.read_info(renamed)
