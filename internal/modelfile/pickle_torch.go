package modelfile

import (
	"slices"
	"strings"
)

// torchStorages maps the legacy storage classes to element types.
var torchStorages = map[string]DType{
	"DoubleStorage": F64, "FloatStorage": F32, "HalfStorage": F16, "BFloat16Storage": BF16,
	"LongStorage": I64, "IntStorage": I32, "ShortStorage": I16, "CharStorage": I8, "ByteStorage": U8, "BoolStorage": Bool,
	"Float8_e4m3fnStorage": F8E4M3, "Float8_e5m2Storage": F8E5M2, "UntypedStorage": U8,
	"ComplexFloatStorage": "C64", "ComplexDoubleStorage": "C128", "QInt8Storage": I8, "QUInt8Storage": U8, "QInt32Storage": I32,
}

// torchDTypes maps torch.dtype attributes to element types.
var torchDTypes = map[string]DType{
	"float64": F64, "double": F64, "float32": F32, "float": F32, "float16": F16, "half": F16, "bfloat16": BF16,
	"float8_e4m3fn": F8E4M3, "float8_e5m2": F8E5M2, "int64": I64, "int32": I32, "int16": I16, "int8": I8,
	"uint64": U64, "uint32": U32, "uint16": U16, "uint8": U8, "bool": Bool,
	"float8_e4m3fnuz": "F8_E4M3FNUZ", "float8_e5m2fnuz": "F8_E5M2FNUZ", "float8_e8m0fnu": "F8_E8M0", "complex64": "C64", "complex128": "C128",
	"complex32": "C32", "chalf": "C32", "bcomplex32": "C32", "float4_e2m1fn_x2": U8, // two numbers in each byte
	"bits8": U8, "bits1x8": U8, "bits2x4": U8, "bits4x2": U8, "bits16": U16,
}

// containers and rebuilders are the names that reduce understands.
var pickleCallable = map[string]bool{
	"torch._utils._rebuild_tensor": true, "torch._utils._rebuild_tensor_v2": true, "torch._utils._rebuild_tensor_v3": true,
	"torch._utils._rebuild_parameter": true, "torch._utils._rebuild_parameter_with_state": true,
	"torch._tensor._rebuild_from_type_v2": true,
	"collections.OrderedDict":             true, "torch.Size": true, "torch.nn.modules.container.ParameterDict": true,
	"builtins.set": true, "__builtin__.set": true,
}

// pickleInert are names that occur in training checkpoints beside the weights. They become objects
// that are never looked into.
var pickleInert = map[string]bool{
	"torch.device": true, "torch.serialization._get_layout": true, "torch.nn.parameter.Parameter": true, "torch.Tensor": true,
	"numpy.core.multiarray.scalar": true, "numpy._core.multiarray.scalar": true, "numpy.dtype": true, "_codecs.encode": true,
	"argparse.Namespace": true, "pathlib.PosixPath": true, "pathlib.WindowsPath": true,
	"collections.defaultdict": true, "collections.Counter": true, "datetime.timedelta": true,
	"builtins.int": true, "builtins.float": true, "builtins.str": true, "builtins.list": true, "builtins.dict": true, "builtins.bool": true,
	"__builtin__.int": true, "__builtin__.float": true, "__builtin__.list": true, "__builtin__.dict": true,
}

// pickleInertPrefixes: bookkeeping of training frameworks, in the checkpoints of SD 1.x for instance.
var pickleInertPrefixes = []string{"pytorch_lightning.callbacks.", "pytorch_lightning.utilities.", "lightning.pytorch.callbacks.",
	"omegaconf."}

// global pushes a name; those outside the lists above end the reading.
func (u *unpickler) global(module, name string) {
	g := &pyGlobal{module, name}
	full := g.String()
	if g.storage() != "" || g.dtype() != "" || pickleCallable[full] || inert(full) {
		u.push(g)
		return
	}
	if strings.HasPrefix(module, "__torch__") {
		panic(fail(ErrUnsupported, u.field, "export the weights with torch.save(model.state_dict()) or as .safetensors",
			"a TorchScript archive (it refers to %s)", quoteName(full)))
	}
	remedy := "it may be an attack: do not open the file with other programs; get the model as .safetensors"
	if strings.HasPrefix(module, "torch.nn.") || strings.HasPrefix(module, "torch.optim.") {
		remedy = "it holds a whole Python object: save its state_dict() instead, best as .safetensors"
	}
	if strings.HasPrefix(module, "ultralytics.") || strings.HasPrefix(module, "models.yolo") {
		remedy = "it holds a Python object of YOLO's: save its state_dict() as .safetensors, as docs/details.md shows"
	}
	panic(fail(ErrUnsafePickle, u.place(), remedy, "refers to %s, which is no part of a set of tensors; nothing was run", quoteName(full)))
}

// storage is the element type of a storage class; "" for other names.
func (g *pyGlobal) storage() DType {
	if g.module != "torch" && g.module != "torch.storage" {
		return ""
	}
	return torchStorages[g.name]
}

// dtype is the element type that a torch.dtype names; "" for other names.
func (g *pyGlobal) dtype() DType {
	if g.module != "torch" {
		return ""
	}
	return torchDTypes[g.name]
}

func inert(full string) bool {
	return pickleInert[full] || slices.ContainsFunc(pickleInertPrefixes, func(p string) bool { return strings.HasPrefix(full, p) })
}

// reduce interprets "callable(*args)" for the known names.
func (u *unpickler) reduce(callable, args any) {
	g, ok := callable.(*pyGlobal)
	if !ok {
		panic(u.bad("calls something that is no known name"))
	}
	a, ok := args.(*pyTuple)
	if !ok {
		panic(u.bad("calls %s without a tuple of arguments", g))
	}
	u.push(u.call(g, a.items, 0))
}

func (u *unpickler) call(g *pyGlobal, args []any, depth int) any {
	switch full := g.String(); full {
	case "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3":
		return u.rebuildTensor(g, args)
	case "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state":
		if len(args) > 0 {
			if t, ok := args[0].(*pyTensor); ok {
				return t
			}
		}
		panic(u.bad("%s without a tensor", g))
	case "torch._tensor._rebuild_from_type_v2":
		if len(args) >= 3 && depth < 4 {
			inner, ok1 := args[0].(*pyGlobal)
			innerArgs, ok2 := args[2].(*pyTuple)
			if ok1 && ok2 {
				return u.call(inner, innerArgs.items, depth+1)
			}
		}
		panic(u.bad("%s with unexpected arguments", g))
	case "collections.OrderedDict":
		return u.orderedDict(args)
	case "torch.nn.modules.container.ParameterDict":
		return &pyDict{}
	case "torch.Size":
		return &pyTuple{u.sequence(g, args)}
	case "builtins.set", "__builtin__.set":
		items := u.sequence(g, args)
		u.ops += len(items) // copying counts as work, or a short program could copy a long list for ever
		return &pyList{slices.Clone(items)}
	default:
		if inert(full) {
			return pyOpaque{}
		}
		panic(u.bad("calls %s", g))
	}
}

// itemsOf returns what a list or tuple holds.
func itemsOf(v any) (items []any, ok bool) {
	switch v := v.(type) {
	case *pyTuple:
		return v.items, true
	case *pyList:
		return v.items, true
	}
	return nil, false
}

func (u *unpickler) sequence(g *pyGlobal, args []any) []any {
	if len(args) == 0 {
		return nil
	}
	items, ok := itemsOf(args[0])
	if !ok {
		panic(u.bad("%s of something that is no sequence", g))
	}
	return items
}

// orderedDict accepts no argument or, as Python 2 wrote it, a list of pairs.
func (u *unpickler) orderedDict(args []any) *pyDict {
	d := &pyDict{}
	if len(args) == 0 {
		return d
	}
	list, ok := args[0].(*pyList)
	if !ok {
		panic(u.bad("an OrderedDict of something that is no list of pairs"))
	}
	u.ops += len(list.items)
	for _, item := range list.items {
		pair, _ := itemsOf(item)
		if len(pair) != 2 {
			panic(u.bad("an OrderedDict of something that is no list of pairs"))
		}
		d.add(pair[0], pair[1])
	}
	return d
}

// rebuildTensor takes (storage, offset, size, stride, ...); v3 has the element type as its seventh.
func (u *unpickler) rebuildTensor(g *pyGlobal, args []any) *pyTensor {
	v3 := g.name == "_rebuild_tensor_v3"
	if len(args) < 4 || v3 && len(args) < 7 {
		panic(u.bad("%s with %d arguments", g, len(args)))
	}
	storage, ok := args[0].(*pyStorage)
	if !ok {
		panic(u.bad("%s without a storage", g))
	}
	t := &pyTensor{storage: storage, dtype: storage.dtype}
	if t.offset, ok = args[1].(int64); !ok || t.offset < 0 {
		panic(u.bad("%s with a bad storage offset", g))
	}
	var ok1, ok2 bool
	t.shape, ok1 = intTuple(args[2])
	t.strides, ok2 = intTuple(args[3])
	if !ok1 || !ok2 || len(t.shape) != len(t.strides) {
		panic(u.bad("%s with a bad size or stride", g))
	}
	if v3 {
		d, ok := args[6].(*pyGlobal)
		if !ok || d.dtype() == "" {
			panic(u.bad("%s with a bad dtype", g))
		}
		t.dtype = d.dtype()
	}
	return t
}

// intTuple reads a tuple of at most MaxDims non-negative integers.
func intTuple(v any) ([]int64, bool) {
	t, ok := v.(*pyTuple)
	if !ok || len(t.items) > MaxDims {
		return nil, false
	}
	out := make([]int64, len(t.items))
	for i, x := range t.items {
		if out[i], ok = x.(int64); !ok || out[i] < 0 {
			return nil, false
		}
	}
	return out, true
}

// persistent interprets ("storage", class, key, location, count[, view]).
func (u *unpickler) persistent(id any) {
	t, ok := id.(*pyTuple)
	if !ok || len(t.items) < 5 || t.items[0] != "storage" {
		panic(u.bad("a persistent id that is no storage"))
	}
	class, ok1 := t.items[1].(*pyGlobal)
	key, ok2 := t.items[2].(string)
	count, ok3 := t.items[4].(int64)
	if !ok1 || class.storage() == "" || !ok2 || !ok3 || count < 0 {
		panic(u.bad("a storage with a bad class, key or size"))
	}
	if len(t.items) > 5 && t.items[5] != nil {
		panic(fail(ErrUnsupported, u.field, remedyResave, "storage %s is a view of another", quoteName(key)))
	}
	u.push(&pyStorage{dtype: class.storage(), key: key, count: count})
}

// build applies "object.__setstate__(state)": only a ParameterDict keeps its content there, under
// _parameters (old) or as attributes (new).
func (u *unpickler) build() {
	state, obj := u.pop(), u.top()
	d, ok := obj.(*pyDict)
	s, ok2 := state.(*pyDict)
	if !ok || !ok2 || d == s {
		return
	}
	add := func(src *pyDict) {
		u.ops += len(src.keys)
		for i, v := range src.vals {
			if _, tensor := v.(*pyTensor); tensor {
				d.add(src.keys[i], v)
			}
		}
	}
	for i, k := range s.keys {
		if inner, ok := s.vals[i].(*pyDict); ok && k == "_parameters" && inner != d {
			add(inner)
		}
	}
	add(s)
}
