/* SPDX-License-Identifier: Apache-2.0 */
/* How the patient stands before the detector. Patient and detector are measured in mm from the middle of the field;
 * x grows towards the patient's left, which is the right of the picture; y grows downwards. */
#ifndef PENUMBRA_PHANTOM_POSE_H
#define PENUMBRA_PHANTOM_POSE_H

struct pose {
  double mm;       /* of a pixel on the detector */
  double middle;   /* pixel coordinate of the middle of the field */
  double cos, sin; /* rotation, clockwise in the picture */
  double scale;    /* detector mm per patient mm */
  double dx, dy;   /* shift on the detector, mm */
};

static inline void pose_to_patient(const struct pose *p, double column, double row, double *x, double *y)
{
  double u = ((column - p->middle) * p->mm - p->dx) / p->scale;
  double v = ((row - p->middle) * p->mm - p->dy) / p->scale;
  *x = u * p->cos + v * p->sin;
  *y = v * p->cos - u * p->sin;
}

static inline void pose_to_pixel(const struct pose *p, double x, double y, double *column, double *row)
{
  *column = ((x * p->cos - y * p->sin) * p->scale + p->dx) / p->mm + p->middle;
  *row = ((x * p->sin + y * p->cos) * p->scale + p->dy) / p->mm + p->middle;
}

#endif
