"""The Keras side of training_speed.py: VGG-19 with the same head, fed by tf.data, which decodes in every epoch.

Run by it in a Python that has tensorflow: python keras_training.py FOLDER SIZE BATCH EPOCHS
"""

import resource
import sys
import time

import keras
import tensorflow as tf
from keras import layers


def build(size: int) -> keras.Model:
    trunk = keras.applications.VGG19(include_top=False, weights=None, input_shape=(size, size, 3), pooling="avg")
    head = []
    for units, dropped in ((1024, 0.3), (512, 0.2)):
        head += [layers.Dense(units), layers.BatchNormalization(), layers.ReLU(), layers.Dropout(dropped)]
    model = keras.Sequential([layers.Rescaling(1 / 255), trunk, *head, layers.Dense(1, activation="sigmoid")])
    model.compile(keras.optimizers.Adam(5e-5), keras.losses.BinaryFocalCrossentropy())
    return model


def batches(folder: str, size: int, batch: int) -> tf.data.Dataset:
    """Shuffled, augmented batches; decoding runs beside the training."""
    augment = keras.Sequential(
        [
            layers.RandomFlip("horizontal"),
            layers.RandomRotation(20 / 360),
            layers.RandomTranslation(0.1, 0.1),
            layers.RandomZoom(0.15),
            layers.RandomBrightness(0.3),
            layers.RandomContrast(0.3),
        ]
    )
    images = keras.utils.image_dataset_from_directory(
        folder, label_mode="binary", image_size=(size, size), batch_size=batch, verbose=False
    )
    images = images.map(lambda x, y: (augment(x, training=True), y), num_parallel_calls=tf.data.AUTOTUNE)
    return images.prefetch(tf.data.AUTOTUNE)


def main() -> None:
    folder, size, batch, epochs = sys.argv[1], *map(int, sys.argv[2:])
    images, model = batches(folder, size, batch), build(size)
    model.fit(images.take(1), verbose=0)  # traces the graph
    for _ in range(epochs):
        start = time.perf_counter()
        model.fit(images, verbose=0)
        print("epoch", time.perf_counter() - start)
    print("gib", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


if __name__ == "__main__":
    main()
