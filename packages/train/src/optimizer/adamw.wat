;; Kernels over one imported memory. All sizes are bytes and multiples of 64; loops count down so that a region may end
;; exactly at 4 GiB, where an end pointer would wrap to 0.
(module
  (import "env" "memory" (memory 1))

  ;; AdamW (Loshchilov & Hutter 2019, algorithm 2) with the bias corrections folded into alpha and epsilon:
  ;;   m = beta1 m + k1 g        k1 = (1 - beta1) * clip
  ;;   v = beta2 v + k2 g^2      k2 = (1 - beta2) * clip^2
  ;;   theta = decay theta - alpha m / (sqrt(v) + epsilon)
  (func (export "adamw")
    (param $theta i32) (param $g i32) (param $m i32) (param $v i32) (param $bytes i32)
    (param $beta1 f32) (param $k1 f32) (param $beta2 f32) (param $k2 f32)
    (param $alpha f32) (param $epsilon f32) (param $decay f32)
    (local $gg v128) (local $mm v128) (local $vv v128)
    (local $BETA1 v128) (local $K1 v128) (local $BETA2 v128) (local $K2 v128)
    (local $ALPHA v128) (local $EPSILON v128) (local $DECAY v128)
    (local.set $BETA1 (f32x4.splat (local.get $beta1)))
    (local.set $K1 (f32x4.splat (local.get $k1)))
    (local.set $BETA2 (f32x4.splat (local.get $beta2)))
    (local.set $K2 (f32x4.splat (local.get $k2)))
    (local.set $ALPHA (f32x4.splat (local.get $alpha)))
    (local.set $EPSILON (f32x4.splat (local.get $epsilon)))
    (local.set $DECAY (f32x4.splat (local.get $decay)))
    (if (i32.eqz (local.get $bytes)) (then (return)))
    (loop $next
      (local.set $gg (v128.load (local.get $g)))
      (local.set $mm (f32x4.add
        (f32x4.mul (v128.load (local.get $m)) (local.get $BETA1))
        (f32x4.mul (local.get $gg) (local.get $K1))))
      (local.set $vv (f32x4.add
        (f32x4.mul (v128.load (local.get $v)) (local.get $BETA2))
        (f32x4.mul (f32x4.mul (local.get $gg) (local.get $gg)) (local.get $K2))))
      (v128.store (local.get $m) (local.get $mm))
      (v128.store (local.get $v) (local.get $vv))
      (v128.store (local.get $theta) (f32x4.sub
        (f32x4.mul (v128.load (local.get $theta)) (local.get $DECAY))
        (f32x4.div
          (f32x4.mul (local.get $mm) (local.get $ALPHA))
          (f32x4.add (f32x4.sqrt (local.get $vv)) (local.get $EPSILON)))))
      (local.set $theta (i32.add (local.get $theta) (i32.const 16)))
      (local.set $g (i32.add (local.get $g) (i32.const 16)))
      (local.set $m (i32.add (local.get $m) (i32.const 16)))
      (local.set $v (i32.add (local.get $v) (i32.const 16)))
      (local.set $bytes (i32.sub (local.get $bytes) (i32.const 16)))
      (br_if $next (local.get $bytes))))

  ;; Sum of x^2. Four f32 lanes accumulate at most 1,024 values each before they are widened to f64: one f32 sum over
  ;; millions of gradients is off by tenths of a percent.
  (func (export "sumOfSquares") (param $x i32) (param $bytes i32) (result f64)
    (local $total f64) (local $block i32) (local $a v128) (local $s v128) (local $t v128)
    (if (i32.eqz (local.get $bytes)) (then (return (f64.const 0))))
    (loop $blocks
      (local.set $block (select (local.get $bytes) (i32.const 32768)
        (i32.lt_u (local.get $bytes) (i32.const 32768))))
      (local.set $bytes (i32.sub (local.get $bytes) (local.get $block)))
      (local.set $s (v128.const i32x4 0 0 0 0))
      (local.set $t (v128.const i32x4 0 0 0 0))
      (loop $next
        (local.set $a (v128.load (local.get $x)))
        (local.set $s (f32x4.add (local.get $s) (f32x4.mul (local.get $a) (local.get $a))))
        (local.set $a (v128.load offset=16 (local.get $x)))
        (local.set $t (f32x4.add (local.get $t) (f32x4.mul (local.get $a) (local.get $a))))
        (local.set $x (i32.add (local.get $x) (i32.const 32)))
        (local.set $block (i32.sub (local.get $block) (i32.const 32)))
        (br_if $next (local.get $block)))
      (local.set $total (f64.add (local.get $total) (f64.add
        (f64.add
          (f64.add (f64.promote_f32 (f32x4.extract_lane 0 (local.get $s))) (f64.promote_f32 (f32x4.extract_lane 1 (local.get $s))))
          (f64.add (f64.promote_f32 (f32x4.extract_lane 2 (local.get $s))) (f64.promote_f32 (f32x4.extract_lane 3 (local.get $s)))))
        (f64.add
          (f64.add (f64.promote_f32 (f32x4.extract_lane 0 (local.get $t))) (f64.promote_f32 (f32x4.extract_lane 1 (local.get $t))))
          (f64.add (f64.promote_f32 (f32x4.extract_lane 2 (local.get $t))) (f64.promote_f32 (f32x4.extract_lane 3 (local.get $t))))))))
      (br_if $blocks (local.get $bytes)))
    (local.get $total))

  ;; y += x
  (func (export "add") (param $y i32) (param $x i32) (param $bytes i32)
    (if (i32.eqz (local.get $bytes)) (then (return)))
    (loop $next
      (v128.store (local.get $y) (f32x4.add (v128.load (local.get $y)) (v128.load (local.get $x))))
      (local.set $y (i32.add (local.get $y) (i32.const 16)))
      (local.set $x (i32.add (local.get $x) (i32.const 16)))
      (local.set $bytes (i32.sub (local.get $bytes) (i32.const 16)))
      (br_if $next (local.get $bytes))))

  ;; y += rate (x - y): an exponential moving average that stays exactly x where y = x
  (func (export "average") (param $y i32) (param $x i32) (param $bytes i32) (param $rate f32)
    (local $RATE v128) (local $yy v128)
    (local.set $RATE (f32x4.splat (local.get $rate)))
    (if (i32.eqz (local.get $bytes)) (then (return)))
    (loop $next
      (local.set $yy (v128.load (local.get $y)))
      (v128.store (local.get $y) (f32x4.add (local.get $yy)
        (f32x4.mul (local.get $RATE) (f32x4.sub (v128.load (local.get $x)) (local.get $yy)))))
      (local.set $y (i32.add (local.get $y) (i32.const 16)))
      (local.set $x (i32.add (local.get $x) (i32.const 16)))
      (local.set $bytes (i32.sub (local.get $bytes) (i32.const 16)))
      (br_if $next (local.get $bytes))))
)
