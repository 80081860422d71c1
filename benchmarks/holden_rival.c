/* Holden-Subrahmanyam with N equal auctions over a batch of (M, sigma_v, sigma_u): the vectorised
 * OpenMP loop a careful C programmer writes, for benchmarks/batch.py.
 *
 *   gcc -O3 -march=native -ffast-math -fopenmp -shared -fPIC holden_rival.c -o holden_rival.so -lm
 *
 * Lanes go in blocks of 64 that stay in cache; every loop over a block is one SIMD loop. Output
 * arrays are (batch, N), row by row.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define W 64
#define MAX_N 64

static void block(int w, int N, const double *M, const double *sv, const double *su,
                  double *out[5]) {
  double y[MAX_N][W], f[5][MAX_N][W], S[W], d[W], dt = 1.0 / N;
  for (int i = 0; i < w; i++) { y[N - 1][i] = 0; S[i] = sv[i] * sv[i]; d[i] = 0; }
  for (int n = N - 1; n > 0; n--) {
#pragma omp simd
    for (int i = 0; i < w; i++) {
      double a = y[n][i], m = M[i], t = 1 + 2 * a + m;
      double k = (1 + a) * (1 + a) * (1 + 2 * a) / (t * t);
      double r1 = sqrt(k / (m + 1)), q = r1 / (1 + 1.2 * r1);
      for (int it = 0; it < 4; it++) /* Newton on 2M q^3 - (M+1) q^2 - 2kq + k */
        q -= (((2 * m * q - (m + 1)) * q - 2 * k) * q + k) / ((6 * m * q - 2 * (m + 1)) * q - 2 * k);
      y[n - 1][i] = q / (1 - 2 * q);
    }
  }
  for (int n = 0; n < N; n++) {
#pragma omp simd
    for (int i = 0; i < w; i++) {
      double r = M[i] / (1 + 2 * y[n][i]);
      S[i] = S[i] / (1 + r);
      double l = sqrt(r * S[i] / (dt * (1 + r))) / su[i];
      f[0][n][i] = l;
      f[1][n][i] = l * su[i] * su[i] / (M[i] * S[i]);
      f[2][n][i] = y[n][i] / (1 + 2 * y[n][i]) / l;
      f[4][n][i] = S[i];
    }
  }
  for (int n = N - 1; n >= 0; n--) {
#pragma omp simd
    for (int i = 0; i < w; i++) {
      f[3][n][i] = d[i];
      d[i] += f[2][n][i] * f[0][n][i] * f[0][n][i] * su[i] * su[i] * dt;
    }
  }
  for (int k = 0; k < 5; k++)
    for (int i = 0; i < w; i++)
      for (int n = 0; n < N; n++) out[k][i * N + n] = f[k][n][i];
}

/* The five fields into arrays allocated here, as any function that returns arrays must. */
int holden_fields(long batch, int N, const double *M, const double *sv, const double *su,
                  double *fields[5]) {
  if (N < 1 || N > MAX_N) return 1;
  for (int k = 0; k < 5; k++)
    if (!(fields[k] = malloc(sizeof(double) * batch * N))) return 2;
#pragma omp parallel for schedule(static)
  for (long b = 0; b < batch; b += W) {
    double *out[5];
    for (int k = 0; k < 5; k++) out[k] = fields[k] + b * N;
    block(batch - b < W ? (int)(batch - b) : W, N, M + b, sv + b, su + b, out);
  }
  return 0;
}

void release(double *fields[5]) {
  for (int k = 0; k < 5; k++) free(fields[k]);
}
