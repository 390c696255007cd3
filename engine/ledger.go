package engine

type books struct{ tag string }
type recordBatch struct {
	books  *books
	origin string
}
type record struct {
	batch  *recordBatch
	offset int64
}
