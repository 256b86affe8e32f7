# Sourced by the training examples: the studies below $data, without the patient $left_out, as the array `studies`.
studies=()
for study in "$data"/ms-mni/OPENMS-07 "$data"/ms-mni/OPENMS-19 "$data"/glioma-brats-space/TCGA-DU-7294; do
    [ "$(basename "$study")" = "$left_out" ] || studies+=("$study")
done
